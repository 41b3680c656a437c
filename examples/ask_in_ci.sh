#!/usr/bin/env bash
# Fails a CI job when the code or its documentation does not answer a question any more.
# Usage: ask_in_ci.sh "How is a release made?" [SOURCE...]
# Exit code: 0 answered, 1 not answered, else that of mctool.
set -euo pipefail
question=$1
shift
mctool ingest --quiet "${@:-.}" >&2
result=$(mctool ask "$question" --json --quiet)
python3 -c 'import json, sys
report = json.load(sys.stdin)
print(report["answer"])
for citation in report["citations"][:3]:
    print(" ", citation["path"], citation["place"] or "line {}".format(citation["start_line"]))
sys.exit(0 if report["supported"] else 1)' <<<"$result"
