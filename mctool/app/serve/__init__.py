"""Serving one tree to other programs: over HTTP as OpenAI does, and over MCP."""
