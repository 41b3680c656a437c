"""Examples that end the --help of each command."""

from __future__ import annotations

from typing import Any

from mctool.cli.config_files import leaf_commands

EXAMPLES: dict[str, tuple[str, ...]] = {
    "ingest": (
        "mctool ingest src/ docs/ README.md",
        "mctool ingest . --include '*.py' --dry-run",
        "mctool ingest docs/ --watch",
        "git log -p -1 | mctool ingest - --name last-commit.diff",
    ),
    "ask": (
        'mctool ask "Who gave the ring to Bilbo?"',
        'mctool ask -f src/ "Where are sockets closed?" --show-focus',
        'echo "What does --dry-run do?" | mctool ask - --json | jq .citations',
        "mctool ask --questions questions.jsonl --json > answers.jsonl",
    ),
    "chat": (
        "mctool chat",
        "mctool chat -f book.txt",
        "printf 'Who owns the lighthouse?\\nHow old is he?\\n' | mctool chat --json | jq -r .answer",
    ),
    "inspect": (
        "mctool inspect",
        'mctool inspect --query "Where are sockets closed?"',
        "mctool inspect --node 1:17",
        "mctool inspect --json | jq -r '.documents[].path'",
    ),
    "models list": ("mctool models list", "mctool models list --json | jq '.[].name'"),
    "models pull": ("mctool models pull", "mctool models pull smollm2-135m-instruct --json"),
    "models path": ("mctool models path", "ls $(mctool models path smollm2-135m-instruct)"),
    "config show": ("mctool config show", "mctool config show --all", "MCTOOL_W_MAX=1024 mctool config show --json"),
    "config path": ("mctool config path", "mctool config path --json | jq -r .user"),
    "serve": (
        "mctool serve",
        "curl -s localhost:8808/v1/chat/completions "
        """-d '{"messages": [{"role": "user", "content": "Where are sockets closed?"}]}' | jq -r .mctool.answer""",
        "MCTOOL_TOKEN=$(openssl rand -hex 16) mctool serve --host 0.0.0.0 --port 80",
        "claude mcp add docs -- mctool serve --mcp --tree docs/.mctool",
    ),
    "verify": ("mctool verify", "mctool verify --repair", "mctool verify --tree .mctool --json | jq .ok"),
    "doctor": ("mctool doctor", "mctool doctor --json > report.json"),
    "curate compact": ("mctool curate compact", "mctool curate compact --json | jq .segments"),
    "curate plan": ("mctool curate plan --keep-fraction 0.5", "mctool curate plan --max-gb 2 --protect 'src/*'"),
    "curate apply": (
        "mctool curate apply --keep-fraction 0.5 --protect README.md",
        "mctool curate apply --max-gb 2 --json",
    ),
    "curate restore": ("mctool curate restore", "mctool curate restore 'logs/*'"),
    "evaluate answers": (
        "mctool evaluate answers --questions 20",
        "mctool evaluate answers --data records.jsonl --split dev --json",
    ),
    "evaluate focus": (
        "mctool evaluate focus --no-minilm",
        "mctool evaluate focus --data records.jsonl.zst --questions 60 --json",
    ),
    "evaluate needle": (
        "mctool evaluate needle --tokens 4000 --tokens 32000 --kind pass-key",
        "mctool evaluate needle --data book.jsonl --plot needle.svg",
    ),
    "evaluate show": (
        "mctool evaluate show focus.json --plot focus.svg",
        "mctool evaluate needle --json | mctool evaluate show - --plot needle.svg",
    ),
    "evaluate speed": ("mctool evaluate speed --part ingest --part ask", "mctool evaluate speed --large --json"),
    "evaluate substitution": (
        "mctool evaluate substitution --windows 4 --n-blocks 16 --lod 1",
        "mctool evaluate substitution --data book.jsonl --domain narrative",
    ),
    "train lora": (
        "mctool train lora records.jsonl --out run --minutes 30",
        "mctool train lora records.jsonl --out run --minutes 60 --resume",
    ),
    "train gist": (
        "mctool train gist texts.jsonl --out run",
        "mctool train gist texts.jsonl.zst --out run --stage content=20 --stage reading=60@3e-4",
        "mctool train gist texts.jsonl.zst --out run --resume --device cuda",
    ),
    "train degist": (
        "mctool train degist texts.jsonl --out run --minutes 20",
        "MCTOOL_WEIGHTS=run mctool train degist texts.jsonl --out other --steps 500",
    ),
    "train lens": (
        "mctool train lens records.jsonl --out run --minutes 30",
        "mctool train lens records.jsonl.zst --out run --steps 500 --device cuda",
        "mctool train lens records.jsonl --out run --part scorer --steps 3000 --labels 4000",
        "mctool train lens records.jsonl --out run --part scorer --steps 600 --labels 4000 --ablations",
    ),
    "train support": (
        "mctool evaluate answers --data qa.jsonl --split dev --system ask --unanswerable 200 --details answers.jsonl",
        "mctool train support answers.jsonl --adapter run/adapter",
    ),
}
"""Command -> lines of a shell; each is checked against the options of the commands in it."""


def add_examples(program: Any) -> None:
    """Let the --help of every command below a group end with its examples."""
    for path, command in leaf_commands(program):
        lines = EXAMPLES.get(" ".join(path), ())
        if lines:
            shown = "\n\n".join(f"  {line}" for line in lines).replace("[", "\\[")
            command.epilog = f"[bold]Examples[/bold]\n\n{shown}"
