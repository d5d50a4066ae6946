//! Alerts that an output has lost, told as an event, so that whoever follows events sees it where it happens.

use crate::clock::now_ns;
use crate::event::{ContainerInfo, Event, Identity, Source};
use crate::status::OutputStatus;
use std::collections::HashMap;
use std::sync::Arc;

/// `porthole.reason` of these events.
pub(super) const REASON: &str = "alert_output";

/// What was told so far, by the outputs' names.
#[derive(Debug, Default)]
pub(super) struct Told(HashMap<String, u64>);

impl Told {
    /// An event for each output that has lost more since.
    pub fn since(&mut self, outputs: &[OutputStatus]) -> Vec<Arc<Event>> {
        outputs.iter().filter_map(|output| self.news(output)).collect()
    }

    fn news(&mut self, output: &OutputStatus) -> Option<Arc<Event>> {
        let told = self.0.entry(output.name.clone()).or_default();
        let count = output.lost.checked_sub(*told).filter(|n| *n > 0)?;
        *told = output.lost;
        let host = ContainerInfo { id: "host".into(), ..ContainerInfo::default() };
        Some(Arc::new(Event {
            // of the collector's own: the pipeline numbers what comes from containers
            num: 1,
            time_ns: now_ns(),
            evt_type: "porthole.drop",
            rawres: None,
            fields: vec![
                ("porthole.reason", REASON.into()),
                ("porthole.count", i64::try_from(count).unwrap_or(i64::MAX).into()),
                ("porthole.detail", format!("{}: {}", output.name, output.error).into()),
            ],
            process: None,
            container: Arc::new(host),
            source: Source::Host,
            identity: Identity::Verified,
            session: "".into(),
            seq: None,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_loss_is_told_once() {
        let mut told = Told::default();
        let output = |lost| [OutputStatus { name: "x".into(), lost, ..OutputStatus::default() }];
        let counts = |events: Vec<Arc<Event>>| events.iter().map(|e| e.fields[1].1.clone()).collect::<Vec<_>>();
        assert!(told.since(&output(0)).is_empty());
        assert_eq!(counts(told.since(&output(3))), [3.into()]);
        assert!(told.since(&output(3)).is_empty());
        assert_eq!(counts(told.since(&output(4))), [1.into()]);
    }
}
