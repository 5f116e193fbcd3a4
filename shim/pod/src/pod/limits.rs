//! What is asked of a container's cgroup: figures, new limits, stopping and going on.

use slipway_shim_cgroup::Resources;
use slipway_shim_spec::LinuxResources;

use super::Pod;
use super::service::{Answer, empty, reply};
use crate::api::events::TaskNotice;
use crate::api::metrics;
use crate::api::task::{ProcessRequest, StatsResponse, UpdateTaskRequest};
use crate::events::Topic;
use crate::task::Phase;
use crate::ttrpc::message::{Code, Status};

impl Pod {
    pub(super) fn stats(&mut self, request: &ProcessRequest) -> Answer {
        let task = self.task(&request.id)?;
        let Some(cgroup) = &task.cgroup else {
            let message = format!("task {}: has no cgroup to count in", request.id);
            return Err(Status::new(Code::FailedPrecondition, message));
        };
        if task.init.exit().is_some() {
            // systemd removes an empty scope by itself; containerd passes over what is not found.
            return Err(Status::new(
                Code::NotFound,
                format!("task {}: has ended and is counted no more", request.id),
            ));
        }
        match cgroup.stats() {
            Ok(stats) => reply(&StatsResponse {
                stats: Some(metrics::encode(&stats)),
            }),
            Err(error) => {
                let message = format!("task {}: statistics: {error}", request.id);
                Err(Status::new(Code::Unknown, message))
            }
        }
    }

    pub(super) fn update(&mut self, request: &UpdateTaskRequest) -> Answer {
        let invalid = |error: &dyn std::fmt::Display| {
            let message = format!("task {}: resources: {error}", request.id);
            Status::new(Code::InvalidArgument, message)
        };
        let task = self.task(&request.id)?;
        let Some(any) = &request.resources else {
            return empty();
        };
        if !any.type_url.ends_with("LinuxResources") {
            return Err(invalid(&format_args!(
                "{:?} are not LinuxResources",
                any.type_url
            )));
        }
        let oci: LinuxResources =
            serde_json::from_slice(&any.value).map_err(|error| invalid(&error))?;
        let resources = Resources::from_oci(&oci).map_err(|error| invalid(&error))?;
        if let Some(cgroup) = &task.cgroup {
            let job = cgroup.update(&resources).map_err(|error| invalid(&error))?;
            self.jobs.extend(job);
        }
        empty()
    }

    pub(super) fn set_frozen(&mut self, request: &ProcessRequest, frozen: bool) -> Answer {
        let task = self.task(&request.id)?;
        let (Some(cgroup), true) = (
            &task.cgroup,
            matches!(task.init.phase, Phase::Running | Phase::Paused),
        ) else {
            let message = format!("task {}: not running in a cgroup", request.id);
            return Err(Status::new(Code::FailedPrecondition, message));
        };
        let result = if frozen {
            cgroup.freeze()
        } else {
            cgroup.thaw()
        };
        result.map_err(|error| {
            Status::new(Code::Internal, format!("task {}: {error}", request.id))
        })?;
        task.init.phase = if frozen {
            Phase::Paused
        } else {
            Phase::Running
        };
        let event = TaskNotice {
            container_id: request.id.clone(),
        };
        let topic = if frozen {
            Topic::Paused
        } else {
            Topic::Resumed
        };
        self.publisher.publish(topic, &event);
        empty()
    }
}
