#!/usr/bin/env bash
# Collects the wheels that a machine with a GPU but without a package index may lack, for gpu.sh --wheels.
#
#     benchmarks/gpu_wheels.sh FOLDER [PYTHON VERSION THERE, such as 3.12]
#
# torch, torchvision and transformers are not among them: the machine must have them. Wheels of packages that are there
# are ignored, so you may delete large ones (scipy, scikit-image, matplotlib, numpy) that you know to be there.
set -euo pipefail
folder=${1:?the folder to write} there=${2:-$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')}
cd "$(dirname "$0")/.."
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
platforms=()
for tag in 2_34 2_31 2_28 2_27 2_24 2_17; do platforms+=(--platform "manylinux_${tag}_x86_64"); done
download() {
  pip download -q --only-binary=:all: --implementation cp --python-version "$there" "${platforms[@]}" \
    --platform manylinux2014_x86_64 --platform manylinux1_x86_64 -d "$folder" "$@"
}
# Built from a copy: building writes into the tree.
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
git ls-files -z | tar --null -T - -c | tar -x -C "$copy"
rm -f "$folder"/lvlm_ad-*.whl
pip wheel -q --no-deps -w "$folder" "$copy"
# What the core needs, with what that needs; then, alone, what the parts on a GPU add to torch and transformers.
download $(sed -n '/^dependencies = \[/,/^\]/s/^ *"\(.*\)",$/\1/p' pyproject.toml) "pytest>=8.2" "hypothesis>=6.100"
download --no-deps "open_clip_torch>=3.0" ftfy wcwidth regex timm safetensors accelerate psutil
du -sh "$folder"
