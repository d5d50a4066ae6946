//! Names that a container's processes have looked up, by the addresses they got for them.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

/// Addresses of one container that are remembered; the oldest goes first. Whoever writes records decides how many
/// there are.
const MAX: usize = 4096;

/// The name last looked up of each address.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    names: HashMap<IpAddr, Arc<str>>,
    order: VecDeque<IpAddr>,
}

impl Hosts {
    /// A lookup of `name` gave these addresses. An address that was given as text is no name.
    pub fn learn(&mut self, name: &str, addresses: impl Iterator<Item = IpAddr>) {
        if name.is_empty() || name.parse::<IpAddr>().is_ok() {
            return;
        }
        let name: Arc<str> = name.into();
        for ip in addresses {
            if self.names.insert(ip, name.clone()).is_some() {
                continue;
            }
            self.order.push_back(ip);
            if self.order.len() > MAX
                && let Some(oldest) = self.order.pop_front()
            {
                self.names.remove(&oldest);
            }
        }
    }

    /// The name that this address was last found under.
    pub fn name(&self, ip: IpAddr) -> Option<&str> {
        self.names.get(&ip).map(|name| &**name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_name_counts_and_the_oldest_addresses_go() {
        let mut hosts = Hosts::default();
        let ip = |n: u32| IpAddr::from(n.to_be_bytes());
        hosts.learn("a.example", [ip(1), ip(2)].into_iter());
        hosts.learn("b.example", [ip(2)].into_iter());
        hosts.learn("0.0.0.3", [ip(3)].into_iter());
        assert_eq!([1, 2, 3].map(|n| hosts.name(ip(n))), [Some("a.example"), Some("b.example"), None]);
        hosts.learn("many.example", (10..10 + MAX as u32 - 1).map(ip));
        assert_eq!((hosts.name(ip(1)), hosts.name(ip(2))), (None, Some("b.example")));
        assert_eq!((hosts.names.len(), hosts.order.len()), (MAX, MAX));
    }
}
