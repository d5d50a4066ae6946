//! A condition as it was written: a tree with positions. [`Expr`]'s `Display` is the canonical form.

use std::fmt::{self, Display, Formatter};

/// A condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expr {
    /// All of at least two.
    And(Vec<Expr>),
    /// One of at least two.
    Or(Vec<Expr>),
    /// The opposite.
    Not(Box<Expr>),
    /// A macro by its name.
    Macro(Name),
    /// A comparison.
    Check(Check),
}

/// A name and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// The name.
    pub text: String,
    /// Byte offset in the condition.
    pub at: usize,
}

/// `left op right`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What is compared.
    pub left: Operand,
    /// How.
    pub op: Op,
    /// How often a list has to fit, for operators that compare with one value.
    pub modifier: Option<Modifier>,
    /// With what.
    pub right: Right,
    /// Byte offset of the right side, or of the operator where there is none.
    pub right_at: usize,
}

/// Something that has a value in an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operand {
    /// A field.
    Field(Field),
    /// A function of others.
    Transform(Transform),
}

/// A field with its argument.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Field {
    /// Dotted name.
    pub name: String,
    /// What stands in brackets.
    pub argument: Option<String>,
    /// Byte offset in the condition.
    pub at: usize,
}

/// A function applied to operands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transform {
    /// Which.
    pub function: Function,
    /// To what.
    pub arguments: Vec<Argument>,
    /// The option that `getopt` looks for.
    pub selector: Option<String>,
    /// Byte offset in the condition.
    pub at: usize,
}

/// An argument of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    /// A field or a function.
    Operand(Operand),
    /// Text.
    Text(String),
    /// Several.
    List(Vec<Argument>),
}

/// The right side of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Right {
    /// None: `exists`.
    Nothing,
    /// One value.
    Value(String),
    /// Several, in parentheses.
    List(Vec<String>),
    /// A name in place of a list, which is a list of that one text.
    Name(String),
    /// Another field, in `val()` or a function.
    Operand(Operand),
}

macro_rules! words {
    ($(#[$doc:meta])* $type:ident { $($(#[$variant_doc:meta])* $name:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $type {
            $($(#[$variant_doc])* $name,)*
        }

        impl $type {
            /// All, in the order of their definition.
            pub const ALL: &'static [$type] = &[$($type::$name),*];

            /// As it is written.
            pub fn as_str(self) -> &'static str {
                match self {
                    $($type::$name => $text,)*
                }
            }

            /// By what is written.
            pub fn of(text: &str) -> Option<$type> {
                Self::ALL.iter().copied().find(|v| v.as_str() == text)
            }
        }

        impl Display for $type {
            fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// A comparison.
    #[allow(missing_docs)]
    Op {
        Exists = "exists",
        LessOrEqual = "<=",
        Less = "<",
        GreaterOrEqual = ">=",
        Greater = ">",
        Same = "==",
        Equal = "=",
        NotEqual = "!=",
        Glob = "glob",
        Iglob = "iglob",
        Contains = "contains",
        Icontains = "icontains",
        Bcontains = "bcontains",
        Startswith = "startswith",
        Bstartswith = "bstartswith",
        Endswith = "endswith",
        Regex = "regex",
        Intersects = "intersects",
        In = "in",
        Pmatch = "pmatch",
    }
}

/// How an operator is written and what may follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Nothing follows.
    Alone,
    /// A number.
    Number,
    /// One value.
    Text,
    /// A list.
    List,
}

impl Op {
    /// What may follow.
    pub fn shape(self) -> Shape {
        match self {
            Op::Exists => Shape::Alone,
            Op::LessOrEqual | Op::Less | Op::GreaterOrEqual | Op::Greater => Shape::Number,
            Op::Intersects | Op::In | Op::Pmatch => Shape::List,
            _ => Shape::Text,
        }
    }

    /// `=` and `==` are one.
    pub fn plain(self) -> Op {
        if self == Op::Same { Op::Equal } else { self }
    }
}

words! {
    /// How many values of a list have to fit.
    #[allow(missing_docs)]
    Modifier {
        Oneof = "oneof",
        Anyof = "anyof",
        Allof = "allof",
    }
}

words! {
    /// A function.
    #[allow(missing_docs)]
    Function {
        Tolower = "tolower",
        Toupper = "toupper",
        B64 = "b64",
        Basename = "basename",
        Len = "len",
        Join = "join",
        Concat = "concat",
        Getopt = "getopt",
    }
}

impl Expr {
    /// Calls `f` with every check, from left to right.
    pub fn each_check<'a>(&'a self, f: &mut dyn FnMut(&'a Check)) {
        match self {
            Expr::And(all) | Expr::Or(all) => all.iter().for_each(|e| e.each_check(f)),
            Expr::Not(e) => e.each_check(f),
            Expr::Check(check) => f(check),
            Expr::Macro(_) => {}
        }
    }
}

impl Expr {
    /// Calls `f` with every field in it.
    pub fn each_field<'a>(&'a self, f: &mut dyn FnMut(&'a Field)) {
        match self {
            Expr::And(all) | Expr::Or(all) => all.iter().for_each(|e| e.each_field(f)),
            Expr::Not(e) => e.each_field(f),
            Expr::Macro(_) => {}
            Expr::Check(check) => {
                check.left.each_field(f);
                if let Right::Operand(other) = &check.right {
                    other.each_field(f);
                }
            }
        }
    }
}

impl Operand {
    /// Where it stands.
    pub fn at(&self) -> usize {
        match self {
            Operand::Field(f) => f.at,
            Operand::Transform(t) => t.at,
        }
    }

    /// Calls `f` with every field in it.
    pub fn each_field<'a>(&'a self, f: &mut dyn FnMut(&'a Field)) {
        match self {
            Operand::Field(field) => f(field),
            Operand::Transform(t) => t.arguments.iter().for_each(|a| a.each_field(f)),
        }
    }
}

impl Argument {
    fn each_field<'a>(&'a self, f: &mut dyn FnMut(&'a Field)) {
        match self {
            Argument::Operand(o) => o.each_field(f),
            Argument::List(all) => all.iter().for_each(|a| a.each_field(f)),
            Argument::Text(_) => {}
        }
    }
}

/// Text in double quotes where it would not be read back without.
struct Quoted<'a>(&'a str, fn(char) -> bool);

fn special_in_value(c: char) -> bool {
    c == ' ' || c == '"' || c == '\'' || c == '\\' || c.is_ascii_control()
}

fn special_in_argument(c: char) -> bool {
    special_in_value(c) || "{}()[]=".contains(c)
}

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Quoted(text, special) = *self;
        if !text.contains(special) {
            return f.write_str(text);
        }
        f.write_str("\"")?;
        for c in text.chars() {
            match c {
                '\u{8}' => f.write_str("\\b")?,
                '\u{c}' => f.write_str("\\f")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                c if c.is_ascii_control() => write!(f, "\\x{:02x}", u32::from(c))?,
                c => write!(f, "{c}")?,
            }
        }
        f.write_str("\"")
    }
}

fn separated<T: Display>(f: &mut Formatter<'_>, all: &[T], by: &str) -> fmt::Result {
    for (n, one) in all.iter().enumerate() {
        if n > 0 {
            f.write_str(by)?;
        }
        write!(f, "{one}")?;
    }
    Ok(())
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut chain = |all: &[Expr], by: &str| {
            f.write_str("(")?;
            separated(f, all, by)?;
            f.write_str(")")
        };
        match self {
            Expr::And(all) => chain(all, " and "),
            Expr::Or(all) => chain(all, " or "),
            Expr::Not(e) => write!(f, "not {e}"),
            Expr::Macro(name) => f.write_str(&name.text),
            Expr::Check(check) => write!(f, "{check}"),
        }
    }
}

impl Display for Check {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.left, self.op)?;
        if let Some(modifier) = self.modifier {
            write!(f, " {modifier}")?;
        }
        match &self.right {
            Right::Nothing => Ok(()),
            Right::Value(text) => write!(f, " {}", Quoted(text, special_in_value)),
            Right::Name(text) => write!(f, " {text}"),
            Right::Operand(o @ Operand::Field(_)) => write!(f, " val({o})"),
            Right::Operand(o) => write!(f, " {o}"),
            Right::List(values) => {
                f.write_str(" (")?;
                let values: Vec<Quoted> = values.iter().map(|v| Quoted(v, special_in_value)).collect();
                separated(f, &values, ", ")?;
                f.write_str(")")
            }
        }
    }
}

impl Display for Operand {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Operand::Field(field) => write!(f, "{field}"),
            Operand::Transform(t) => write!(f, "{t}"),
        }
    }
}

impl Display for Field {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match &self.argument {
            Some(argument) => write!(f, "[{}]", Quoted(argument, special_in_argument)),
            None => Ok(()),
        }
    }
}

impl Display for Transform {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.function)?;
        separated(f, &self.arguments, ",")?;
        f.write_str(")")?;
        match &self.selector {
            Some(selector) => write!(f, "[{selector}]"),
            None => Ok(()),
        }
    }
}

impl Display for Argument {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Argument::Operand(o) => write!(f, "{o}"),
            Argument::Text(text) => f.write_str(text),
            Argument::List(all) => {
                f.write_str("(")?;
                separated(f, all, ",")?;
                f.write_str(")")
            }
        }
    }
}
