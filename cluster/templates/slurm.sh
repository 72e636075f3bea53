
say() { echo "voxtune: $*" >&2; }

# A temporary folder of the job's own, with a token that Ray asks everyone for: other users' jobs may share this node.
tmp=$(mktemp -d "/tmp/vt-$SLURM_JOB_ID-XXXX") || exit # short, since the paths of Ray's sockets in it may have 107 bytes
export tmp ray_address=$tmp/ray/ray_current_cluster
export RAY_TMPDIR=$tmp RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$tmp/token RAY_USAGE_STATS_ENABLED=0
export RAY_START_HOOK=cluster.allocation.without_client_server
export RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S=0 # when Ray is told to end nothing of the sweep runs any more
unset RAY_ADDRESS RAY_AUTH_TOKEN
[ "${SLURM_GPUS_ON_NODE:-0}" != 0 ] || export CUDA_VISIBLE_DEVICES= # GPUs that the job did not ask for are others'

driver=            # the process `voxtune run`
deadline=          # when it is killed, in seconds since the job began
waiting=           # the process that waits for all nodes to come
requeue=false
declare -A node_of # the node whose Ray is the srun step with this process number

# Shortly before the time is up Slurm signals USR1: the sweep is ended in order, and the job queued again. SIGTERM comes
# from scancel, or since the job gives way to another, and reaches Ray too; half a minute later all are killed. A sweep
# that is killed loses no more than what its trials did since their last rungs.
trap 'requeue=true; end_sweep 60' USR1
trap 'end_sweep 10' TERM
trap 'finish $?' EXIT

# end_sweep SECONDS: tell it to end; after so long it is killed.
end_sweep() {
    [ -n "$driver" ] || finish 143
    kill -TERM "$driver" 2>/dev/null
    deadline=$((SECONDS + $1))
}

# finish CODE: end what still runs, leave nothing behind, end the job.
finish() {
    trap '' USR1 TERM
    trap - EXIT
    [ -z "$waiting" ] || kill "$waiting" 2>/dev/null
    ((${#node_of[@]})) && scancel --signal=TERM "$SLURM_JOB_ID" 2>/dev/null # to the steps alone
    for _ in {1..100}; do
        kill -0 "${!node_of[@]}" 2>/dev/null || break
        sleep 0.2
    done
    rm -rf "$tmp"
    if $requeue && (($1 > 128)); then
        say "the time is up; the job is queued again, and then goes on with the sweep"
        scontrol requeue "$SLURM_JOB_ID" || say "it could not be queued again; go on by: sbatch $script"
    fi
    exit "$1"
}

# remove_leftovers FOLDER: what our jobs that Slurm killed left there; nothing where Slurm does not say which still live.
remove_leftovers() {
    local left=() folder number queued
    for folder in "$1"/vt-*-*; do # before Slurm is asked: a job that begins meanwhile is none of them
        if [ -d "$folder" ] && [ ! -L "$folder" ] && [ -O "$folder" ]; then left+=("$folder"); fi
    done
    ((${#left[@]})) && queued=$(squeue --noheader --user="$(id -un)" --format=%A 2>/dev/null) || return 0
    for folder in "${left[@]}"; do
        number=${folder##*/vt-} number=${number%-*}
        [[ ! $number =~ ^[0-9]+$ ]] || grep -qx "$number" <<<"$queued" || rm -rf "$folder"
    done
}

# Whether this node has what the job runs.
has_voxtune() {
    type -P voxtune ray python >/dev/null && return
    say "$SLURMD_NODENAME has no voxtune on its PATH, $PATH"
    say "install it where all nodes see it, or give a file that makes it known there: voxtune slurm --setup FILE"
    return 2
}

# Runs on each node: Ray, with just what Slurm gave the job there, until the step is told to end.
ray_node() {
    remove_leftovers /tmp
    if [ "$SLURMD_NODENAME" != "$head" ]; then
        (umask 077 && mkdir "$tmp" && cat >"$tmp/token") || exit # srun's standard input is the token
        trap 'rm -rf "$tmp"' EXIT
    fi
    has_voxtune || exit
    export TMPDIR=$tmp # not sooner, since Slurm itself would make the folder
    trap 'tries=0; kill "$ray"' TERM
    # Ray gives up where its processes take half a minute to start, as they may while all nodes read them from a file
    # server at once. Once it answers it writes its address into this file.
    for ((tries = 3; tries > 0; tries--)); do
        ray start --block --log-color=false --num-cpus="$SLURM_CPUS_ON_NODE" --num-gpus="${SLURM_GPUS_ON_NODE:-0}" "$@" &
        ray=$!
        wait "$ray" || wait "$ray" # the trap ends the first
        [ ! -e "$ray_address" ] || break
    done
}

# start_ray NODE OPTION...: Ray on that node, as a step of the job.
start_ray() {
    srun --nodes=1 --ntasks=1 --nodelist="$1" --cpu-bind=none --export=ALL bash -c 'ray_node "$@"' ray_node "${@:2}" \
        <"$tmp/token" >"$tmp/$1.log" 2>&1 &
    node_of[$!]=$1
}

# Fails if Ray has ended on a node since this was last asked, and says so.
all_nodes_live() {
    local step lost=0
    for step in "${!node_of[@]}"; do
        kill -0 "$step" 2>/dev/null && continue
        lost=1
        say "Ray has ended on ${node_of[$step]}:"
        tail -n 20 "$tmp/${node_of[$step]}.log" >&2
        [ "${node_of[$step]}" != "$head" ] || head=
        unset "node_of[$step]"
    done
    return $lost
}

remove_leftovers /tmp
has_voxtune || exit
(umask 077 && python -c 'import secrets; print(secrets.token_hex(32), end="")' >"$tmp/token") || exit
options=(--runs "$runs" --continue)

if ((SLURM_JOB_NUM_NODES > 1)); then
    export head=$SLURMD_NODENAME
    export -f ray_node remove_leftovers has_voxtune say
    readarray -t others < <(scontrol show hostnames "$SLURM_JOB_NODELIST" | grep -vx "$head")

    readarray -t place < <(python -P -m cluster.allocation place "${others[0]}")
    ((${#place[@]} == 2)) || exit 1
    start_ray "$head" --head --port=0 --node-ip-address="${place[0]}" --dashboard-port="${place[1]}"
    until [ -s "$ray_address" ]; do
        all_nodes_live || exit 1
        sleep 0.2
    done
    address=$(<"$ray_address")

    for node in "${others[@]}"; do
        start_ray "$node" --address="$address"
    done
    python -P -m cluster.allocation complete "$address" "$SLURM_JOB_NUM_NODES" &
    waiting=$!
    while kill -0 "$waiting" 2>/dev/null; do
        all_nodes_live || exit 1
        sleep 0.2
    done
    wait "$waiting" || exit 1
    options+=(--address "$address")
    export CUDA_VISIBLE_DEVICES= # the driver trains nothing
fi

TMPDIR=$tmp PYTHONUNBUFFERED=1 voxtune run "$sweep" "${options[@]}" &
driver=$!
while kill -0 "$driver" 2>/dev/null; do
    if [ -n "$deadline" ]; then
        ((SECONDS < deadline)) || kill -KILL "$driver"
    elif ! all_nodes_live; then
        [ -n "$head" ] || { kill -KILL "$driver"; exit 1; }
        say "its trials go on elsewhere"
    fi
    sleep 1 &
    wait $! # which, unlike sleep itself, a signal ends at once
done
wait "$driver"
