//! YAML as a tree with positions. A serde layer would hide what matters here: where something stands, which of two
//! equal keys came first, whether a text was in quotes.

use granit_parser::{Event, Parser, ScalarStyle, Span};
use std::collections::HashMap;
use std::rc::Rc;

/// A place in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// From 0, in characters.
    pub offset: usize,
}

/// A node and where it begins.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Where it begins.
    pub at: Position,
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// Nothing, or a plain `null`.
    Null,
    /// A text.
    Scalar(String),
    /// A sequence.
    Sequence(Vec<Rc<Node>>),
    /// A map, in the order of the file; keys may repeat.
    Map(Vec<(Rc<Node>, Rc<Node>)>),
}

/// Deepest nesting, and most nodes, of a file.
const DEPTH: usize = 64;
const NODES: usize = 1_000_000;

/// The documents of a text.
///
/// # Errors
/// Where it is no YAML, and why.
pub fn documents(text: &str) -> Result<Vec<Rc<Node>>, (Position, String)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|e| (position(e.marker()), e.info().to_owned()))?;
        builder.take(event, span)?;
    }
    Ok(builder.documents)
}

fn position(mark: &granit_parser::Marker) -> Position {
    Position { line: mark.line(), column: mark.col() + 1, offset: mark.index() }
}

enum Open {
    Sequence(Vec<Rc<Node>>),
    Map(Vec<(Rc<Node>, Rc<Node>)>, Option<Rc<Node>>),
}

#[derive(Default)]
struct Builder {
    documents: Vec<Rc<Node>>,
    open: Vec<(Open, Position, usize)>,
    anchors: HashMap<usize, Rc<Node>>,
    nodes: usize,
}

impl Builder {
    fn take(&mut self, event: Event, span: Span) -> Result<(), (Position, String)> {
        let at = position(&span.start);
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let null = style == ScalarStyle::Plain && ["", "~", "null", "Null", "NULL"].contains(&text.as_ref());
                let kind = if null { Kind::Null } else { Kind::Scalar(text.into_owned()) };
                self.put(Node { kind, at }, anchor)
            }
            Event::Alias(anchor) => match self.anchors.get(&anchor).cloned() {
                Some(node) => self.add(node, at),
                None => Err((at, "an alias of what has not ended yet".into())),
            },
            Event::SequenceStart(_, anchor, _) => self.begin(Open::Sequence(vec![]), at, anchor),
            Event::MappingStart(_, anchor, _) => self.begin(Open::Map(vec![], None), at, anchor),
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some((Open::Sequence(all), at, anchor)) => self.put(Node { kind: Kind::Sequence(all), at }, anchor),
                Some((Open::Map(all, _), at, anchor)) => self.put(Node { kind: Kind::Map(all), at }, anchor),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn begin(&mut self, open: Open, at: Position, anchor: usize) -> Result<(), (Position, String)> {
        if self.open.len() >= DEPTH {
            return Err((at, format!("nested deeper than {DEPTH} levels")));
        }
        self.open.push((open, at, anchor));
        Ok(())
    }

    fn put(&mut self, node: Node, anchor: usize) -> Result<(), (Position, String)> {
        let (node, at) = (Rc::new(node.clone()), node.at);
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        self.add(node, at)
    }

    fn add(&mut self, node: Rc<Node>, at: Position) -> Result<(), (Position, String)> {
        self.nodes += 1;
        if self.nodes > NODES {
            return Err((at, format!("more than {NODES} nodes")));
        }
        match self.open.last_mut() {
            None => self.documents.push(node),
            Some((Open::Sequence(all), ..)) => all.push(node),
            Some((Open::Map(all, key), ..)) => match key.take() {
                None => *key = Some(node),
                Some(key) => all.push((key, node)),
            },
        }
        Ok(())
    }
}

impl Node {
    /// The value of a key: of equal keys, the first.
    pub fn get(&self, key: &str) -> Option<&Rc<Node>> {
        let Kind::Map(all) = &self.kind else { return None };
        all.iter().find(|(k, _)| k.text() == Some(key)).map(|(_, v)| v)
    }

    /// The text of a scalar.
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar(text) => Some(text),
            _ => None,
        }
    }

    /// A truth value, as YAML 1.1 has them; also in quotes.
    pub fn truth(&self) -> Option<bool> {
        let text = self.text()?;
        let is = |words: [&str; 4]| words.iter().any(|w| text.eq_ignore_ascii_case(w));
        match (is(["true", "yes", "on", "y"]), is(["false", "no", "off", "n"])) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            _ => None,
        }
    }

    /// Whether it is nothing.
    pub fn is_null(&self) -> bool {
        matches!(self.kind, Kind::Null)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_anchors_documents_and_first_keys() {
        let all = documents("- a: &x [1, 'null']\n  b: *x\n  a: 2\n---\n- ~\n").unwrap();
        let Kind::Sequence(items) = &all[0].kind else { panic!("{all:?}") };
        let b = items[0].get("b").unwrap();
        assert!(matches!(&b.kind, Kind::Sequence(all) if all.len() == 2 && all[1].text() == Some("null")));
        assert!(matches!(items[0].get("a").unwrap().kind, Kind::Sequence(_)));
        assert_eq!((items[0].at.line, items[0].at.column), (1, 3));
        assert!(matches!(&all[1].kind, Kind::Sequence(all) if all[0].is_null()));
        assert!(documents("a: [b").is_err());
        assert!(documents(&"[".repeat(100)).is_err());
        // a billion laughs are ten nodes
        let laughs = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c]\n";
        assert!(documents(laughs).is_ok());
    }
}
