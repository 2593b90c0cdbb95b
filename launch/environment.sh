# Sourced by the scripts of this folder: makes the settings of the site this process' own, and says how Python is started.
#
# Reads cluster.env, or the copy of it that $HERMES_CLUSTER_ENV names; what the process was started with wins over the file.
# Sets `checkout`, the folder of hermes-train, and `python`, the words that start Python in the virtual environment or the
# container: "${python[@]}" -m hermes_train ...
# shellcheck shell=bash

checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

fail() {
    echo "error: $*" >&2
    exit 2
}

settings=${HERMES_CLUSTER_ENV:-$checkout/launch/cluster.env}
[[ -r $settings ]] || fail "HERMES_CLUSTER_ENV names $settings, which cannot be read on $(hostname); copy launch/cluster.env there"
own=$(export -p)
set -a
# shellcheck source=launch/cluster.env
source "$settings"
set +a
# Not within a function, where these declarations would be its own.
eval "$own"
# An empty name is not the same as none: NCCL would look for an interface without a name, and HF_HOME be this folder.
for name in HF_HOME TRITON_CACHE_DIR ${!HERMES_*} ${!NCCL_*} ${!GLOO_*}; do
    if [[ -z ${!name-} ]]; then unset "$name"; fi
done

load_modules() {
    [[ -n ${HERMES_MODULES-} ]] || return 0
    # The code of environment modules reads names that are not set.
    set +u
    if ! declare -F module >/dev/null; then
        # A shell that is nobody's login does not know the command.
        local start
        for start in "${LMOD_PKG-}/init/bash" "${MODULESHOME-}/init/bash" /etc/profile.d/{lmod,modules,z00_lmod}.sh; do
            # shellcheck source=/dev/null
            if [[ -r $start ]]; then source "$start" && break; fi
        done
    fi
    declare -F module >/dev/null || fail "HERMES_MODULES=$HERMES_MODULES, but $(hostname) has no command 'module'"
    local name
    for name in $HERMES_MODULES; do
        module load "$name" || fail "the module $name of HERMES_MODULES cannot be loaded on $(hostname)"
    done
    set -u
}

folder_of_runs() { # arguments: the options; prints what --runs names, whichever way it is written
    local folder=runs
    while (($#)); do
        case $1 in
            --runs) folder=${2-} ;;
            --runs=*) folder=${1#--runs=} ;;
        esac
        shift
    done
    realpath --canonicalize-missing "$folder"
}

choose_python() { # arguments: folders that the command needs beside the checkout
    if [[ -z ${HERMES_CONTAINER-} ]]; then
        python=("${HERMES_VENV:-$checkout/.venv}/bin/python")
        [[ -x ${python[0]} ]] || fail "${python[0]} is not there on $(hostname); run \`make setup\` or set HERMES_VENV"
        return
    fi
    local apptainer folders
    apptainer=$(command -v apptainer || command -v singularity) ||
        fail "HERMES_CONTAINER=$HERMES_CONTAINER, but $(hostname) has no command 'apptainer'; is it a module?"
    [[ -r $HERMES_CONTAINER ]] || fail "HERMES_CONTAINER=$HERMES_CONTAINER cannot be read on $(hostname)"
    local own=("$checkout" "$PWD" "$@")
    # A node without its own disk is told by the check before training, and not by a container that does not start.
    local name
    for name in HERMES_LOCAL_CACHE HF_HOME TRITON_CACHE_DIR; do
        if [[ -d ${!name-} ]]; then own+=("${!name}"); fi
    done
    folders=$(IFS=, && echo "${own[*]}${HERMES_CONTAINER_BINDS:+,$HERMES_CONTAINER_BINDS}")
    # The image holds the packages; the code is the checkout's.
    python=("$apptainer" exec --nv --pwd "$PWD" --bind "$folders" --env "PYTHONPATH=$checkout" "$HERMES_CONTAINER" python3)
}

load_modules
