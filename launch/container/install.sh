#!/usr/bin/env bash
# Puts hermes-train into an image; run by the Dockerfile and by hermes-train.def, so that both install the same:
#
#   install.sh STEP FOLDER     STEP: system, packages or code; FOLDER: where the sources of hermes-train lie
#
# The steps stand apart because each is a layer of the Docker image: a change of the code leaves the 10 GB of packages alone.
set -euo pipefail

usage="usage: install.sh system|packages|code FOLDER"
step=${1?$usage} folder=${2?$usage}

# Kernels for norms and feed-forward layers, 4-bit weights beneath adapters. Not flash-attn: it has no wheels on PyPI, and
# without it the packs go through PyTorch's own attention.
EXTRAS=liger,qlora

system() {
    local packages=(
        # Triton and DeepSpeed compile on the machine that they run on.
        gcc g++ libc6-dev
        # NCCL looks for these, and goes over TCP where they are missing: InfiniBand and RoCE, and the cards' drivers.
        libibverbs1 librdmacm1 ibverbs-providers
        # The sandbox of the filter takes it where it is there.
        bubblewrap
    )
    apt-get update
    DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "${packages[@]}"
    rm -rf /var/lib/apt/lists/*
}

packages() {
    cd "$folder"
    install_with_pip ".[$EXTRAS]"
    # PyTorch's wheels bring CUDA's libraries, but no compiler. Without a version: that of the libraries is installed already.
    install_with_pip "cuda-toolkit[nvcc,cccl]"
    name_cuda_libraries
}

# The wheels have libcudart.so.13; the compiler asks for libcudart.so, in lib64.
name_cuda_libraries() {
    local library
    test -x "$CUDA_HOME/bin/nvcc"
    ln -sfn lib "$CUDA_HOME/lib64"
    for library in "$CUDA_HOME"/lib/lib*.so.*; do
        ln -sf "$(basename "$library")" "${library%%.so.*}.so"
    done
}

code() {
    cd "$folder"
    # Editable: hermes-train looks for launch/ beside its own folder.
    install_with_pip --no-deps --editable .
    python3 -m hermes_train --version
}

install_with_pip() {
    python3 -m pip install --no-cache-dir --root-user-action=ignore --constraint constraints.txt "$@"
}

case $step in
    system | packages | code) "$step" ;;
    *) echo "error: there is no step $step; $usage" >&2 && exit 2 ;;
esac
