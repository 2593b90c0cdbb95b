#!/usr/bin/env bash
# Make a stage of one process on this host, with the settings of cluster.env, in the container where there is one:
#
#   launch/stage.sh STAGE RECIPE [options of hermes-train]     STAGE: prepare, filter, pack, evaluate or export
#
# Stages that train run on ranks: launch/torchrun.sh.
set -euo pipefail

# shellcheck source=launch/environment.sh
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

(($# >= 2)) || fail "name a stage and a recipe: launch/stage.sh pack recipes/llama3-8b.yaml [options of hermes-train]"
stage=$1 recipe=$2
shift 2
case $stage in
    prepare | filter | pack | evaluate | export) ;;
    sft | hybrid | dpo) fail "$stage trains on ranks: launch/torchrun.sh $stage $recipe" ;;
    *) fail "there is no stage $stage; of one process are prepare, filter, pack, evaluate and export" ;;
esac
choose_python "$(folder_of_runs "$@")" "$(cd "$(dirname "$recipe")" && pwd)"
# In place of this shell, so that its signals are the stage's.
exec "${python[@]}" -m hermes_train "$stage" "$recipe" "$@"
