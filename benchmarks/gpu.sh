#!/usr/bin/env bash
# Measures everything that needs an NVIDIA GPU, in ten minutes: the tests marked gpu, local models against a plain loop,
# WinCLIP as bfloat16 and float32, and the backend vllm against vLLM's own offline throughput. Prints a table and JSON.
#
#     benchmarks/gpu.sh [--small] [--wheels FOLDER] [--vllm PROGRAM] [--minutes N]
#
# It needs torch and transformers, and downloads nothing. --wheels FOLDER: lvlm-ad and what else is missing come from this
# folder, written by gpu_wheels.sh; what is installed stays as it is. --vllm: the program of an environment that holds
# vLLM (default: beside Python or on the PATH); without one that part is left out. --small: tiny models on the CPU, to see
# whether everything works. PYTHON=... names the Python that holds torch.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=$(command -v "${PYTHON:-python3}") || { echo "There is no ${PYTHON:-python3} here."; exit 1; }
wheels= vllm= more=()
while [ $# -gt 0 ]; do
  case $1 in
    --wheels) wheels=$2 && shift 2 ;;
    --vllm) vllm=$2 && shift 2 ;;
    --minutes) more+=("$1" "$2") && shift 2 ;;
    --small) more+=("$1") && shift ;;
    *) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" && exit 2 ;;
  esac
done
"$python" -c 'from importlib.util import find_spec as find; raise SystemExit(not (find("torch") and find("transformers")))' ||
  { echo "$python has no torch or no transformers; set PYTHON."; exit 1; }

if [ -z "$vllm" ] && [ -x "$(dirname "$python")/vllm" ]; then vllm=$(dirname "$python")/vllm; fi
[ -n "$vllm" ] || vllm=$(command -v vllm || true)

if [ -n "$wheels" ]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  "$python" "$here/gpu_environment.py" "$work/env" "$wheels"
  python=$work/env/bin/python
fi
"$python" -c 'import lvlm_ad_backends' 2>/dev/null || {
  echo "lvlm-ad is not installed for $python: pip install '.[local,clip,test]', or give --wheels."; exit 1; }
"$python" "$here/gpu_report.py" --vllm "$vllm" "${more[@]}"
