#!/usr/bin/env bash
# Where in these files is something done? Prints path:line, without an answer. No tree is needed.
# Usage: grep_by_meaning.sh "Where are sockets closed?" SOURCE...
set -euo pipefail
question=$1
shift
files=()
for source in "$@"; do files+=(--file "$source"); done
mctool ask "$question" "${files[@]}" --no-answer --json --quiet |
  python3 -c 'import json, sys
for citation in json.load(sys.stdin)["citations"]:
    print(citation["path"], citation["start_line"], sep=":")'
