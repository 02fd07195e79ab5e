//! The health of the gRPC services: SERVING until the drain begins, then NOT_SERVING.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::{Stream, stream};
use sluicegate_proto::ext_authz::authorization_server::SERVICE_NAME as AUTHORIZATION;
use sluicegate_proto::v1::sluicegate_server::SERVICE_NAME as SLUICEGATE;
use tokio::sync::{Semaphore, watch};
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health, SERVICE_NAME as HEALTH};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::Common;
use crate::lifecycle::{Lifecycle, Phase};

/// The most watches that are open at once. Anyone may watch, and the streams of all strangers come
/// to a quarter of these.
pub(super) const MAX_WATCHES: usize = 4_096;
/// What has a health of its own; the empty name is the whole server.
const SERVICES: [&str; 4] = ["", SLUICEGATE, AUTHORIZATION, HEALTH];

/// Answers the health protocol of gRPC from the phase of the process.
#[derive(Debug)]
pub(super) struct HealthDoor {
    lifecycle: Lifecycle,
    watches: Arc<Semaphore>,
}

impl HealthDoor {
    pub(super) fn new(common: &Common) -> Self {
        Self { lifecycle: common.lifecycle.clone(), watches: Arc::clone(&common.watches) }
    }
}

#[tonic::async_trait]
impl Health for HealthDoor {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if !SERVICES.contains(&request.get_ref().service.as_str()) {
            return Err(Status::not_found("no such service"));
        }
        Ok(Response::new(response(of(self.lifecycle.phase()))))
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let permit = Arc::clone(&self.watches).try_acquire_owned();
        let permit = permit.map_err(|_| Status::resource_exhausted("too many watches"))?;
        let known = SERVICES.contains(&request.get_ref().service.as_str());
        let states = watch_states(self.lifecycle.subscribe(), known);
        let stream = futures_util::StreamExt::map(states, move |status| {
            let _held_while_watched = &permit;
            Ok(response(status))
        });
        Ok(Response::new(Box::pin(stream)))
    }
}

/// The status now and each that follows. It ends when the connections are asked to go, so that a
/// watch does not keep the process alive.
fn watch_states(
    phases: watch::Receiver<Phase>,
    known: bool,
) -> impl Stream<Item = ServingStatus> + Send {
    let say = move |phase| if known { of(phase) } else { ServingStatus::ServiceUnknown };
    stream::unfold((phases, None), move |(mut phases, last)| async move {
        let news = |phase: &Phase| *phase >= Phase::Closing || Some(say(*phase)) != last;
        let phase = *phases.wait_for(news).await.ok()?;
        let status = say(phase);
        (Some(status) != last).then_some((status, (phases, Some(status))))
    })
}

const fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status as i32 }
}

fn of(phase: Phase) -> ServingStatus {
    if phase == Phase::Serving { ServingStatus::Serving } else { ServingStatus::NotServing }
}
