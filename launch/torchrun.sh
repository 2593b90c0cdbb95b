#!/usr/bin/env bash
# Start this host's ranks of a training stage, or of the check before it:
#
#   launch/torchrun.sh STAGE RECIPE [options of hermes-train]     STAGE: sft, hybrid, dpo or preflight
#
# On one host nothing else is needed. On several, start the same command on each of them with
#
#   HERMES_NODES=2                    how many hosts; in a Slurm step its number of nodes
#   HERMES_RENDEZVOUS=node1:29500     one of the hosts, and a free port of it: there they find each other
#
#   HERMES_RANKS_PER_NODE             ranks of each host; the GPUs of this one where it is not set, or 1
#
# Other settings come from cluster.env. A signal (SIGTERM, SIGUSR1) lets the ranks finish their step, save and end.
set -euo pipefail

# shellcheck source=launch/environment.sh
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

(($# >= 2)) || fail "name a stage and a recipe: launch/torchrun.sh sft recipes/llama3-8b.yaml [options of hermes-train]"
stage=$1 recipe=$2
shift 2
case $stage in
    sft | hybrid | dpo | preflight) ;;
    prepare | filter | pack | evaluate | export)
        fail "$stage is a stage of one process, without ranks: hermes-train $stage $recipe" ;;
    *) fail "there is no stage $stage that runs on ranks; there are sft, hybrid, dpo and preflight" ;;
esac
[[ -f $recipe ]] || fail "there is no recipe $recipe in $PWD on $(hostname)"

gpus_of_this_host() {
    if [[ -n ${CUDA_VISIBLE_DEVICES+set} ]]; then
        local devices
        IFS=, read -ra devices <<<"$CUDA_VISIBLE_DEVICES"
        echo ${#devices[@]}
    elif command -v nvidia-smi >/dev/null; then
        nvidia-smi --list-gpus | grep -c '^GPU' || true
    else
        echo 0
    fi
}

# All of this is asked on the host that it is about: in a line of a batch script, $SLURM_NODEID or $(hostname) would be the
# first node's for everyone.
nodes=${HERMES_NODES:-${SLURM_NNODES:-1}}
gpus=$(gpus_of_this_host)
ranks=${HERMES_RANKS_PER_NODE:-$((gpus > 0 ? gpus : 1))}
[[ $nodes =~ ^[1-9][0-9]*$ ]] || fail "HERMES_NODES=$nodes is no number of hosts"
[[ $ranks =~ ^[1-9][0-9]*$ ]] || fail "HERMES_RANKS_PER_NODE=$ranks is no number of ranks"

choose_python "$(folder_of_runs "$@")" "$(cd "$(dirname "$recipe")" && pwd)"

if ((nodes == 1)); then
    # Alone, a host takes a port that is free.
    launcher=torch.distributed.run meeting=(--standalone)
else
    [[ -n ${HERMES_RENDEZVOUS-} ]] ||
        fail "$nodes hosts need a place to meet: set HERMES_RENDEZVOUS to one of them and a free port, such as node1:29500"
    # torchrun too, but with an end where the host of the rendezvous is cut off.
    launcher=hermes_train.cluster.host_agent
    # Is this the host of the rendezvous, by which address and interface do the others reach it, is the port free?
    found=$("${python[@]}" -m hermes_train.cluster.rendezvous "$HERMES_RENDEZVOUS") || exit
    { read -r interface; mapfile -t meeting; } <<<"$found"
    if [[ -n $interface ]]; then export GLOO_SOCKET_IFNAME=${GLOO_SOCKET_IFNAME:-$interface}; fi
    # Jobs, steps and tries that come to the same port do not join each other.
    job=${SLURM_JOB_ID:+$SLURM_JOB_ID.${SLURM_RESTART_COUNT:-0}.${SLURM_STEP_ID:-0}-}
    meeting+=(--rdzv-backend=c10d --rdzv-endpoint="$HERMES_RENDEZVOUS" --rdzv-id="$job$stage-$(basename "$recipe" .yaml)")
fi

# A host without this mark kept the others waiting: torchrun starts no rank before all have come, so that none could tell.
if [[ -n ${HERMES_TRY-} && -n ${SLURMD_NODENAME-} && $stage == preflight ]]; then
    mkdir -p "$HERMES_TRY" && : >"$HERMES_TRY/$SLURMD_NODENAME" ||
        echo "warning: $SLURMD_NODENAME cannot write in $HERMES_TRY" >&2
fi

torchrun=(
    "${python[@]}" -m "$launcher"
    --nnodes="$nodes" --nproc-per-node="$ranks" "${meeting[@]}"
    # A lost rank ends all: what comes next is the caller's to decide.
    --max-restarts=0
    # Left to itself torchrun dies of SIGUSR1, and its ranks live on unseen.
    "--signals-to-handle=SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1"
    # A large model's save takes longer than the 30 seconds that torchrun would give it.
    --shutdown-timeout="${HERMES_SIGNAL_SECONDS:-600}"
)
# In place of this shell, so that its signals are torchrun's.
exec "${torchrun[@]}" -m hermes_train "$stage" "$recipe" "$@"
