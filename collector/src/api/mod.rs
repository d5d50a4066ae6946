//! HTTP on a Unix socket: how commands talk to the daemon.
//!
//! | path | answer |
//! |--|--|
//! | `GET /v1/events?follow=&container=&last=&filter=` | events as JSON lines; endless with `follow=true` |
//! | `GET /v1/alerts?container=&last=&filter=` | an array of [`crate::detect::stories::story::Story`], oldest first, without what fills them |
//! | `GET /v1/alerts/ID` | one of them, whole, by four or more digits of its number |
//! | `GET /v1/containers?filter=` | an array of [`crate::status::ContainerView`], with those that run without porthole |
//! | `GET /v1/tree` | an array of [`crate::status::TreeView`]: the same, each with its processes |
//! | `GET /v1/status` | [`StatusReply`] |
//! | `GET /healthz` | `{"status": "ok"}` |
//! | `GET /metrics` | see [`metrics`] |
//! | `GET /versions` | [`Versions`] |
//!
//! Whoever may open the socket (root and the group `porthole`) may read everything; nothing can be changed here. The
//! last three are also served on a TCP port where the configuration asks for that (`webserver`), nothing else is.

pub mod body;
pub mod client;
pub mod metrics;
pub mod server;
pub mod usage;

use crate::event::Event;
use crate::status::{ContainerView, Status};
use serde::{Deserialize, Serialize};

/// Kept events that a follower begins with unless it says otherwise, as `tail -f` and `journalctl -f` do.
pub const FOLLOW_LAST: usize = 10;

/// What `/v1/events` may be asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventsQuery {
    /// Go on with new events as they come.
    pub follow: bool,
    /// Only those of this container: its name, its id, or four or more leading digits of the id.
    pub container: Option<String>,
    /// At most so many of the events kept in memory; without it all of them, with `follow` [`FOLLOW_LAST`].
    pub last: Option<usize>,
    /// Only those that this condition is true for.
    pub filter: Option<String>,
}

/// What `/v1/status` answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StatusReply {
    /// The pipeline's counters.
    #[serde(flatten)]
    pub status: Status,
    /// What the process costs that does the work.
    pub usage: usage::Usage,
    /// What its supervisor costs, where it has one.
    pub supervisor: Option<usage::Usage>,
    /// Containers that run without porthole.
    pub containers_without: u64,
}

impl StatusReply {
    /// With what the processes cost now.
    pub fn of(status: Status, containers_without: u64) -> StatusReply {
        let supervisor = (status.pid != status.worker_pid).then(|| usage::of(status.pid));
        StatusReply { usage: usage::of(status.worker_pid), supervisor, status, containers_without }
    }
}

/// What `/versions` answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Versions {
    /// Of the collector.
    pub version: String,
    /// Of the records between agent and collector.
    pub wire: u32,
    /// API versions that are served.
    pub api: Vec<String>,
}

/// Whether someone who says `wanted` means the container with this name and id.
pub fn is_meant(wanted: &str, name: &str, full_id: &str) -> bool {
    let hex = wanted.len() >= 4 && wanted.bytes().all(|b| b.is_ascii_hexdigit());
    wanted == name || wanted == full_id || (hex && full_id.starts_with(wanted))
}

impl EventsQuery {
    /// Whether the event is of the container asked for.
    pub fn wants(&self, event: &Event) -> bool {
        let c = &event.container;
        self.container.as_deref().is_none_or(|w| w == &*c.id || is_meant(w, &c.name, &c.full_id))
    }

    /// Whether the container is the one asked for.
    pub fn wants_container(&self, c: &ContainerView) -> bool {
        self.container.as_deref().is_none_or(|w| w == c.id || is_meant(w, &c.name, &c.full_id))
    }

    /// How many kept events to begin with.
    pub fn last(&self) -> usize {
        self.last.unwrap_or(if self.follow { FOLLOW_LAST } else { usize::MAX })
    }

    /// Path and query of the request.
    pub fn uri(&self) -> String {
        self.uri_of("/v1/events")
    }

    /// The same of another path that can be asked so.
    pub fn uri_of(&self, path: &str) -> String {
        let mut uri = format!("{path}?follow={}", self.follow);
        if let Some(last) = self.last {
            uri += &format!("&last={last}");
        }
        for (name, value) in [("container", &self.container), ("filter", &self.filter)] {
            let Some(value) = value else { continue };
            uri += &format!("&{name}=");
            for byte in value.bytes() {
                let plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
                uri += &if plain { char::from(byte).to_string() } else { format!("%{byte:02X}") };
            }
        }
        uri
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_meant_by_name_id_or_leading_digits() {
        let id = "3f2a77aabbcc0123456789";
        assert!(is_meant("web", "web", id) && is_meant(id, "web", id) && is_meant("3f2a", "web", id));
        assert!(!is_meant("3f2", "web", id) && !is_meant("we", "web", id) && !is_meant("", "web", id));
        assert!(!is_meant("demo", "", "demo1"), "names are not prefixes");
    }

    #[test]
    fn a_query_reads_back_as_it_was() {
        let query = EventsQuery {
            follow: true,
            container: Some("a b&c=ü%".into()),
            last: Some(7),
            filter: Some("a = \"b\"".into()),
        };
        let uri: hyper::Uri = query.uri().parse().unwrap();
        let axum::extract::Query(back) = axum::extract::Query::<EventsQuery>::try_from_uri(&uri).unwrap();
        assert_eq!(back, query);
    }
}
