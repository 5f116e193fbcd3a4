//! The cases, by what they are about. Names are stable: `docs/reference/shim.md` refers to them.

mod attach;
mod churn;
mod command_line;
mod endings;
mod exec;
mod guests;
mod images;
mod isolation;
mod lifecycle;
mod logs;
mod native;
mod resources;
mod restart;
mod shim_killed;
mod users;

use anyhow::Result;

use crate::node::Node;
use crate::report::Outcome;

/// One case.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// Its name.
    pub name: &'static str,
    /// What it is about.
    pub group: &'static str,
    /// What it shows, in a sentence.
    pub shows: &'static str,
    /// How long it takes.
    pub length: Length,
    /// The case itself. Whatever it makes it removes.
    pub run: fn(&Node) -> Result<Outcome>,
}

/// How long a case takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// Seconds.
    Short,
    /// More; only with `--long`.
    Long,
}

/// A table of cases from `module::function "sentence"`; the function's name is the case's.
macro_rules! cases {
    ($($length:ident $module:ident::$name:ident $shows:literal)*) => {
        /// All of them, in the order in which they run.
        pub const CASES: &[Case] = &[$(Case {
            name: stringify!($name),
            group: stringify!($module),
            shows: $shows,
            length: Length::$length,
            run: $module::$name,
        }),*];
    };
}

cases! {
    Short lifecycle::a_pod_runs_and_goes "run, create, start, end, log, remove"
    Short lifecycle::one_start_and_one_shim_a_pod "the executions of the shim that each version needs"
    Short lifecycle::a_created_container_can_be_removed "created, never started, removed"
    Short lifecycle::stopping_and_removing_twice_is_no_error "the kubelet repeats itself"
    Short lifecycle::a_pod_is_removed_with_a_running_container "StopPodSandbox ends what runs"
    Short lifecycle::create_answers_the_containers_process "Create returns the container's PID, and it is in its cgroup"
    Short lifecycle::a_pod_outlives_its_first_process_no_longer "the sandbox is not ready once its first process is gone"
    Short endings::an_exit_code_is_kept "the guest's own exit code and output"
    Short endings::sigterm_ends_a_command_with_143 "a command that never returns is interrupted"
    Short endings::a_guest_that_never_yields_dies_of_sigkill "SIGKILL is immediate"
    Short endings::a_trap_is_told_with_its_backtrace "exit 134, reason and function in the log"
    Short endings::a_module_that_cannot_run_says_why "a sentence in the log and an exit, no error of the runtime"
    Short endings::memory_grow_fails_before_the_kernel_kills "the guest is told no within its limit"
    Short endings::beyond_the_limit_is_oomkilled "TaskOOM comes before TaskExit"
    Short images::wasm_in_a_tar_runs "the form that every containerd takes"
    Short images::wasm_layers_and_artifacts_run "no root file system; the guest is in the content store"
    Short images::of_several_layers_the_command_names_one "by its title, else by its file name"
    Short images::a_tar_for_wasi_depends_on_containerd "refused from 2.2 on"
    Short images::a_tar_for_wasi_runs_with_local_pull "use_local_image_pull"
    Short images::refusals_are_containerds_own "by containerd, in its own words"
    Short isolation::containers_share_the_pods_namespaces "network, IPC and UTS are the pod's"
    Short isolation::processes_are_shared_when_asked_for "shareProcessNamespace"
    Short isolation::the_nodes_network_when_asked_for "hostNetwork"
    Short isolation::the_process_has_no_power "capabilities, no_new_privs, seccomp, ids, groups"
    Short isolation::apparmor_profiles_confine_the_guest "containerd's default, and one of the node's"
    Short isolation::a_read_only_root_is_read_only "readOnlyRootFilesystem"
    Short isolation::volumes_are_seen_and_read_only_ones_kept "preopens from mounts, enforced by the kernel"
    Short isolation::sysctls_are_set "in the pod's network"
    Short users::root_of_a_pod_is_nobody_on_the_node "hostUsers: false, also of a native container"
    Short users::a_handler_with_options_offers_no_users "containerd cannot, so the kubelet is told"
    Short logs::both_streams_in_order "nothing lost, nothing mixed up"
    Short logs::a_line_without_an_end_is_kept "the last piece of output"
    Short logs::a_log_is_reopened "rotation by the kubelet"
    Short logs::megabytes_without_loss "32 MiB of output, every line there"
    Short guests::public_commands_run "hexyl (Rust, WASI 0.1) and gojq (Go)"
    Short guests::public_servers_answer "wstd (WASI 0.2), spin-sdk 3 (a module with a world), spin-sdk 7 (WASI 0.3)"
    Short guests::an_interpreter_fits_a_pod_of_64_mib "JavaScript of 13 MB, compiled outside the pod"
    Short guests::twenty_five_megabytes_of_code_fit_a_pod_of_64_mib "compiled outside the pod, and all of it run"
    Short guests::names_are_looked_up_as_the_pod_says "/etc/hosts, /etc/resolv.conf, search domains"
    Short guests::the_network_is_closed_by_an_option "slipway.dev/network"
    Short guests::the_root_is_hidden_by_an_option "slipway.dev/root"
    Short guests::a_server_without_sockets_is_told_what_to_build "WASI 0.1 cannot listen"
    Short exec::a_wasm_file_is_run_beside_the_guest "another file of the image, in the same container"
    Short exec::an_exported_function_is_run_beside_the_guest "path.wasm#function, with arguments"
    Short exec::a_shell_answers_where_no_file_is_named "echo, ls, exit code, 127"
    Short exec::an_exec_ends_at_its_time_limit "and nothing of it stays"
    Short exec::input_and_output_of_an_exec_are_streamed "kubectl exec -i"
    Short exec::an_exec_may_have_a_terminal "kubectl exec -it"
    Short exec::many_execs_leave_nothing "an exec probe"
    Short exec::an_exec_survives_a_restart_of_containerd "and goes with its container"
    Short attach::attaching_shows_what_is_written "kubectl attach"
    Short attach::input_reaches_the_guest_and_ends "standard input, closed once"
    Short attach::a_container_may_have_a_terminal "tty: true"
    Short attach::a_port_is_forwarded "kubectl port-forward, and a probe"
    Short native::sidecars_run_beside_a_guest "an init container, a sidecar and a guest in one pod"
    Short native::an_exec_runs_the_programs_of_a_native_container "with and without a terminal, and one that is not there"
    Short native::native_containers_survive_the_death_of_containerd "SIGKILL: same process, no tick lost"
    Short native::native_containers_end_with_the_shim "SIGKILL of the pod process: nothing stays"
    Short resources::an_update_reaches_the_cgroup "in-place resize of memory and CPU"
    Short resources::figures_have_the_right_type_and_size "v1 or v2 by the node; CPU time and memory agree with the cgroup"
    Short resources::pausing_stops_the_guest "the freezer, and on again"
    Short restart::pods_survive_a_restart_of_containerd "SIGTERM: same process, no tick lost, can be stopped"
    Short restart::pods_survive_the_death_of_containerd "SIGKILL: same process, no tick lost, can be stopped"
    Short restart::an_exit_while_containerd_is_away_is_told "code and log are there afterwards"
    Short restart::containerd_dies_while_pods_are_made "SIGKILL in the middle of RunPodSandbox"
    Short restart::containerd_dies_during_create "SIGKILL in the middle of CreateContainer"
    Short restart::containerd_dies_during_start "SIGKILL in the middle of StartContainer"
    Short restart::containerd_dies_during_exit "SIGKILL while a guest ends"
    Short restart::containerd_dies_during_stop "SIGKILL in the middle of StopPodSandbox"
    Short shim_killed::a_dead_shim_is_noticed "SIGKILL of the pod process: containers exit, nothing stays"
    Short shim_killed::a_dead_shim_while_containerd_is_away "the same, found on the restart"
    Short shim_killed::a_killed_worker_is_an_exit "SIGKILL from outside is 137 and no OOM"
    Short command_line::version_and_info "-v and -info answer, and print nothing else"
    Short command_line::delete_is_idempotent "delete in an empty and in a half-made bundle"
    Short churn::twenty_pods_leave_nothing "made and removed, four at a time"
    Long churn::two_hundred_pods_leave_nothing "made and removed, four at a time"
    Long logs::a_gigabyte_without_loss "1 GiB of output, every line there"
}

/// What a case that got to its end returns.
fn passed() -> Result<Outcome> {
    Ok(Outcome::Passed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = CASES.iter().map(|case| case.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CASES.len());
    }
}
