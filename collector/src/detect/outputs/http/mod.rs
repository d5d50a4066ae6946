//! Alerts to an HTTP server, one request each: falcosidekick, or whatever takes them.
//!
//! A server that is away is waited for, while alerts queue up; one that answers decides what becomes of an alert. After a
//! timeout nobody knows whether it was taken: it is sent again, so it may arrive twice.

mod tls;

use super::watch::Watch;
use super::{Line, Out};
use crate::error::Error;
use crate::format::escape::escape;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::{self, Write};
use std::time::{Duration, Instant};
pub use tls::Trust;
use ureq::Agent;
use ureq::http::{StatusCode, Uri, uri::Scheme};

/// The configuration's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// `url`, in quotes or not.
    pub url: String,
    /// `user_agent`.
    pub user_agent: String,
    /// Who is believed.
    pub trust: Trust,
    /// `echo`: answers are printed on standard output.
    pub echo: bool,
    /// `compress_uploads`.
    pub compress: bool,
    /// `keep_alive`: connections are kept however long nothing is sent.
    pub keep_alive: bool,
    /// `max_consecutive_timeouts`: so often an alert is sent again that was not answered in time.
    pub timeouts: u32,
    /// Whether alerts are JSON.
    pub json: bool,
}

/// An answer takes no longer than this.
const PATIENCE: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(5);
/// Waits between two tries.
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);
/// For so long an alert is offered to a server that answers and does not take it now.
const UNWILLING: Duration = Duration::from_secs(60);
/// How long a connection is kept that nothing is sent on.
const IDLE: Duration = Duration::from_secs(15);
const IDLE_ALIVE: Duration = Duration::from_secs(24 * 3600);
/// Most of an answer that is read.
const ANSWER: u64 = 64 << 10;

/// See the module.
pub(super) struct Http {
    agent: Agent,
    url: String,
    /// `Authorization`, of a user named in the URL.
    user: Option<String>,
    setup: Setup,
    /// Bytes are compressed: until a server does not understand them.
    compress: bool,
    watch: Watch,
}

/// What has become of one try.
#[derive(Debug)]
enum Answer {
    Taken,
    /// Nobody was there.
    Away(String),
    /// Not now.
    Unwilling(String),
    Late(String),
    /// Never.
    Refused(String),
}

/// A URL without what is nobody's business: user and query.
pub(in crate::detect) fn shown(setup: &Setup) -> Result<String, Error> {
    let uri = parsed(setup)?;
    let (scheme, host) = (uri.scheme_str().unwrap_or(""), uri.host().unwrap_or(""));
    let port = uri.port().map(|p| format!(":{p}")).unwrap_or_default();
    Ok(format!("{scheme}://{host}{port}{}", uri.path()))
}

fn parsed(setup: &Setup) -> Result<Uri, Error> {
    let text = setup.url.trim();
    let bare = ['"', '\''].iter().find_map(|q| text.strip_prefix(*q)?.strip_suffix(*q)).unwrap_or(text);
    let wrong = |why: &str| Error::new(format!("http_output.url: {why}; it is such as http://127.0.0.1:2801/"));
    let uri: Uri = bare.parse().map_err(|e| wrong(&format!("{e}")))?;
    match uri.scheme() {
        Some(scheme) if *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS => {}
        _ => return Err(wrong("it begins with http:// or https://")),
    }
    if uri.host().is_none_or(str::is_empty) {
        return Err(wrong("it names no host"));
    }
    Ok(uri)
}

impl Http {
    /// Reads the certificates; connects with the first alert.
    ///
    /// # Errors
    /// When the URL is none, or a file cannot be used.
    pub fn new(setup: &Setup, watch: Watch) -> Result<Http, Error> {
        Http::patient(setup, watch, PATIENCE)
    }

    fn patient(setup: &Setup, watch: Watch, patience: Duration) -> Result<Http, Error> {
        let uri = parsed(setup)?;
        let authority = uri.authority().map(|a| a.as_str()).unwrap_or_default();
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        let path = uri.path_and_query().map_or("/", |p| p.as_str());
        let mut config = Agent::config_builder()
            .timeout_global(Some(patience))
            .timeout_connect(Some(CONNECT.min(patience)))
            .timeout_resolve(Some(CONNECT))
            .max_idle_age(if setup.keep_alive { IDLE_ALIVE } else { IDLE })
            .user_agent(setup.user_agent.clone())
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false);
        if uri.scheme() == Some(&Scheme::HTTPS) {
            config = config.tls_config(tls::config(&setup.trust)?);
        }
        Ok(Http {
            agent: config.build().new_agent(),
            url: format!("{}://{host}{path}", uri.scheme_str().unwrap_or("http")),
            user: user.map(|user| format!("Basic {}", BASE64_STANDARD.encode(decoded(user)))),
            compress: setup.compress,
            setup: setup.clone(),
            watch,
        })
    }

    fn attempt(&mut self, text: &str) -> Answer {
        let kind = if self.setup.json { "application/json" } else { "text/plain" };
        let mut request = self.agent.post(&self.url).header("Content-Type", kind);
        if let Some(user) = &self.user {
            request = request.header("Authorization", user);
        }
        let sent = match self.compress.then(|| compressed(text)) {
            Some(bytes) => request.header("Content-Encoding", "gzip").send(&bytes[..]),
            None => request.send(text),
        };
        let mut answer = match sent {
            Ok(answer) => answer,
            Err(ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve)) => {
                return Answer::Away("nobody answers".into());
            }
            Err(e @ ureq::Error::Timeout(_)) => return Answer::Late(e.to_string()),
            Err(e) => return Answer::Away(e.to_string()),
        };
        let code = answer.status();
        // read to its end, or the connection is of no use any more
        let said = answer.body_mut().with_config().limit(ANSWER).read_to_vec().unwrap_or_default();
        if self.setup.echo {
            // who sees this is a person at a terminal, or a log
            let _ = writeln!(io::stdout().lock(), "{}", escape(&String::from_utf8_lossy(&said)));
        }
        let why = format!("the server has answered {code}");
        match code {
            code if code.is_success() => Answer::Taken,
            StatusCode::BAD_REQUEST | StatusCode::UNSUPPORTED_MEDIA_TYPE if self.compress => {
                self.compress = false;
                self.attempt(text)
            }
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Answer::Unwilling(why),
            code if code.is_server_error() => Answer::Unwilling(why),
            _ => Answer::Refused(why),
        }
    }
}

impl Out for Http {
    fn write(&mut self, line: &Line) -> io::Result<()> {
        let (started, mut wait, mut late) = (Instant::now(), FIRST, 0);
        loop {
            let why = match self.attempt(&line.text) {
                Answer::Taken => {
                    self.watch.well();
                    return Ok(());
                }
                Answer::Refused(why) => return Err(io::Error::other(why)),
                Answer::Late(why) if late >= self.setup.timeouts => return Err(io::Error::other(why)),
                Answer::Unwilling(why) if started.elapsed() > UNWILLING => return Err(io::Error::other(why)),
                Answer::Late(why) => {
                    late += 1;
                    why
                }
                Answer::Away(why) | Answer::Unwilling(why) => why,
            };
            self.watch.trouble(&why);
            if !self.watch.nap(wait) {
                return Err(io::Error::other(why));
            }
            wait = (wait * 2).min(LONGEST);
        }
    }
}

fn compressed(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(vec![], Compression::fast());
    // a Vec takes everything
    let _ = encoder.write_all(text.as_bytes());
    encoder.finish().unwrap_or_default()
}

/// A user as a URL has it, without its escapes.
fn decoded(text: &str) -> Vec<u8> {
    let (mut out, mut rest) = (vec![], text.as_bytes());
    while let [first, after @ ..] = rest {
        let hex = after.get(..2).and_then(|h| u8::from_str_radix(std::str::from_utf8(h).ok()?, 16).ok());
        match (first, hex) {
            (b'%', Some(byte)) => {
                out.push(byte);
                rest = &after[2..];
            }
            _ => {
                out.push(*first);
                rest = after;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests;
