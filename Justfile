# Run by ./just, which installs what is missing first. Everything longer than a line is a script in e2e/testbed/.

set no-exit-message := true
# Arguments arrive as they were given, whatever is in them.
set positional-arguments := true

testbed := justfile_directory() / "e2e/testbed"

# lists the recipes
default:
    @"{{ just_executable() }}" --list --unsorted

# shows a WebAssembly pod answering HTTP on a cluster of its own
demo:
    @"{{ testbed }}/demo.sh"

# removes the demo, its cluster, and the Docker daemon if it was started here
demo-down:
    @"{{ testbed }}/cluster.sh" down
    @"{{ testbed }}/docker.sh" down

# runs every test: formatting, lints, units, fuzzing, generated files, containerd's judgement, arm64 in emulation, a whole machine, CRI, the cluster
test:
    @"{{ testbed }}/test.sh"

# formatting, lints and generated files
lint:
    @"{{ testbed }}/lint.sh"

# unit, snapshot and integration tests, and those of the chart
unit:
    @"{{ testbed }}/unit.sh"

# what reads untrusted bytes, fed with generated ones (SLIPWAY_FUZZ_SECONDS, default 60, for each); arguments are targets
fuzz *targets:
    @"{{ testbed }}/fuzz.sh" "$@"

# containerd 1.6, 1.7, 2.1 and 2.4 judge what the installer writes (SLIPWAY_JUDGE_CASES, SLIPWAY_JUDGE_SEED)
judge:
    @"{{ testbed }}/judge.sh"

# the cluster tests alone; arguments go to the test binary
e2e *arguments: images
    @"{{ testbed }}/e2e.sh" "$@"

# conformance over CRI against containerd 2.4, 2.1, 1.7 and 1.6 (--list, --filter NAME, --long go to the test program)
cri *arguments:
    @"{{ testbed }}/cri.sh" "$@"

# tests on a whole machine that QEMU emulates: systemd, cgroup v2, two containerds (x86_64 or aarch64; see cri)
vm arch *arguments:
    @"{{ testbed }}/vm.sh" "$@"

# how fast pods start, what they take and serve (--json FILE, --markdown FILE, --only start|memory|worker|http|churn, --kinds 'NAME;NAME', --rounds N)
bench *arguments:
    @"{{ testbed }}/bench.sh" "$@"

# what the operator asks of an API server with 1,000 nodes (--json FILE, --markdown FILE, --nodes N, --at-once N, --rest N)
bench-operator *arguments:
    @"{{ testbed }}/bench-operator.sh" "$@"

# the long cases over CRI, whole machines, then the cluster tests again and again (SLIPWAY_SOAK_ROUNDS, default 10)
soak: images
    @"{{ testbed }}/soak.sh"

# the node's programs and the operator, for x86_64
build:
    @"{{ testbed }}/build.sh" x86_64

# the same for x86_64 and aarch64
build-all:
    @"{{ testbed }}/build.sh" x86_64 aarch64

# makes the cluster if there is none, builds all images and loads what changed
images: cluster
    @"{{ testbed }}/images.sh"

# makes the cluster if there is none that works (SLIPWAY_EXTRA_WORKERS="2.1 1.6" adds workers)
cluster:
    @"{{ testbed }}/cluster.sh" up

# removes the cluster
cluster-down:
    @"{{ testbed }}/cluster.sh" down

# writes the generated files anew
generate:
    @"{{ testbed }}/generate.sh" --write

# removes the cluster, the daemon and everything cached
clean: demo-down
    @"{{ testbed }}/clean.sh"
