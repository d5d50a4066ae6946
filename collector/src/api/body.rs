//! The events of an answer: kept ones, then new ones as they come, as JSON lines.

use crate::event::Event;
use crate::hub::{Item, Subscription};
use crate::json;
use hyper::body::{Body, Bytes, Frame};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{SystemTime, UNIX_EPOCH};

/// A frame is sent when it has this many bytes, or when there is nothing more at the moment.
const FRAME: usize = 64 << 10;

/// See the module.
pub struct EventsBody {
    kept: VecDeque<Arc<Event>>,
    live: Option<Subscription>,
}

impl EventsBody {
    /// A body of kept events, and of new ones until the subscription ends.
    pub fn new(kept: Vec<Arc<Event>>, live: Option<Subscription>) -> EventsBody {
        EventsBody { kept: kept.into(), live }
    }

    /// The next item; `None` at the end.
    fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        if let Some(event) = self.kept.pop_front() {
            return Poll::Ready(Some(Item::Event(event)));
        }
        match &mut self.live {
            Some(live) => live.poll_next(cx),
            None => Poll::Ready(None),
        }
    }
}

impl Body for EventsBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let mut out = Vec::new();
        let mut ended = false;
        while out.len() < FRAME {
            match self.poll_item(cx) {
                Poll::Ready(Some(item)) => write_line(&item, &mut out),
                Poll::Ready(None) => {
                    ended = true;
                    break;
                }
                Poll::Pending => break,
            }
        }
        match (out.is_empty(), ended) {
            (false, _) => Poll::Ready(Some(Ok(Frame::data(out.into())))),
            (true, true) => Poll::Ready(None),
            (true, false) => Poll::Pending,
        }
    }
}

/// An item as a JSON line. Events that a reader was too slow for appear as an event of their own.
pub fn write_line(item: &Item, out: &mut Vec<u8>) {
    match item {
        Item::Event(event) => event.write_json(out),
        Item::Lost(count) => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let line = serde_json::json!({
                "time": json::time_text(now), "evt.type": "porthole.drop",
                "porthole.reason": "slow_reader", "porthole.count": count, "porthole.source": "host",
            });
            out.extend_from_slice(line.to_string().as_bytes());
        }
    }
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_an_event_of_its_own() {
        let mut out = vec![];
        write_line(&Item::Lost(7), &mut out);
        let line: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!((&line["evt.type"], &line["porthole.count"]), (&"porthole.drop".into(), &7.into()));
        assert!(line["time"].as_str().unwrap().ends_with('Z') && out.ends_with(b"}\n"));
    }
}
