//! Text to tree, by recursive descent over characters, since what a character means depends on where it stands.

use super::{
    AndOr, Command, Join, Kind, List, Pipeline, Redirect, SCRIPT_LIMIT, SyntaxError, Target, Word,
};

/// Deepest nesting; the parser and the shell recurse.
const DEEPEST: usize = 40;

/// Words that mean something where a command begins.
const RESERVED: &[&str] = &[
    "if", "then", "elif", "else", "fi", "while", "until", "for", "do", "done", "in", "{", "}",
    "case", "esac", "function",
];

/// Where the reading is.
pub(super) struct Parser {
    pub(super) characters: Vec<char>,
    pub(super) at: usize,
    depth: usize,
}

/// Reads a whole script.
pub(crate) fn parse(script: &str) -> Result<List, SyntaxError> {
    if script.len() > SCRIPT_LIMIT {
        return Err(SyntaxError::Long(script.len()));
    }
    let mut parser = Parser {
        characters: script.chars().collect(),
        at: 0,
        depth: 0,
    };
    let list = parser.list()?;
    match parser.peek() {
        None => Ok(list),
        Some(_) => Err(parser.unexpected()),
    }
}

impl Parser {
    pub(super) fn peek(&self) -> Option<char> {
        self.characters.get(self.at).copied()
    }

    pub(super) fn peek_at(&self, ahead: usize) -> Option<char> {
        self.characters.get(self.at + ahead).copied()
    }

    /// Takes `text` if it is what comes next.
    pub(super) fn take(&mut self, text: &str) -> bool {
        let matches = text
            .chars()
            .enumerate()
            .all(|(i, c)| self.peek_at(i) == Some(c));
        if matches {
            self.at += text.chars().count();
        }
        matches
    }

    /// Runs `read` one level deeper.
    pub(super) fn deeper<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, SyntaxError>,
    ) -> Result<T, SyntaxError> {
        if self.depth == DEEPEST {
            return Err(SyntaxError::Deep(DEEPEST));
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    pub(super) fn unexpected(&self) -> SyntaxError {
        match self.peek() {
            None => SyntaxError::Incomplete("more"),
            Some('\n') => SyntaxError::Unexpected("end of line".to_owned()),
            Some(first) => {
                let reserved = self.reserved().map(str::to_owned);
                SyntaxError::Unexpected(reserved.unwrap_or_else(|| first.to_string()))
            }
        }
    }

    /// Skips blanks, line continuations and a comment, but no line's end.
    fn blanks(&mut self) {
        loop {
            match self.peek() {
                Some(' ' | '\t' | '\r') => self.at += 1,
                Some('\\') if self.peek_at(1) == Some('\n') => self.at += 2,
                Some('#') => {
                    while self.peek().is_some_and(|c| c != '\n') {
                        self.at += 1;
                    }
                }
                _ => return,
            }
        }
    }

    fn blanks_and_lines(&mut self) {
        self.blanks();
        while self.take("\n") {
            self.blanks();
        }
    }

    /// The reserved word that stands here.
    fn reserved(&self) -> Option<&'static str> {
        let rest = &self.characters[self.at.min(self.characters.len())..];
        let end = rest
            .iter()
            .position(|c| ends_word(*c))
            .unwrap_or(rest.len());
        let word = &rest[..end];
        RESERVED
            .iter()
            .find(|known| known.chars().eq(word.iter().copied()))
            .copied()
    }

    fn take_reserved(&mut self, word: &'static str) -> bool {
        self.blanks_and_lines();
        self.reserved() == Some(word) && self.take(word)
    }

    fn expect_reserved(&mut self, word: &'static str) -> Result<(), SyntaxError> {
        if self.take_reserved(word) {
            return Ok(());
        }
        Err(match self.peek() {
            None => SyntaxError::Incomplete(word),
            Some(_) => self.unexpected(),
        })
    }

    /// Commands up to the end, a `)`, or a reserved word that no command begins with.
    pub(super) fn list(&mut self) -> Result<List, SyntaxError> {
        self.deeper(|parser| {
            let mut list = List::default();
            loop {
                parser.blanks_and_lines();
                let ends = matches!(
                    parser.reserved(),
                    Some("then" | "elif" | "else" | "fi" | "do" | "done" | "}" | "esac" | "in")
                );
                if ends || matches!(parser.peek(), None | Some(')')) {
                    return Ok(list);
                }
                list.0.push(parser.and_or()?);
                parser.blanks();
                match parser.peek() {
                    None | Some(')' | '\n') => {}
                    Some(';') if parser.peek_at(1) != Some(';') => parser.at += 1,
                    Some('&') => {
                        return Err(SyntaxError::Unsupported("& (a job in the background)"));
                    }
                    Some(_) => return Err(parser.unexpected()),
                }
            }
        })
    }

    /// A list inside something, which must not be empty.
    fn body(&mut self) -> Result<List, SyntaxError> {
        let list = self.list()?;
        if list.0.is_empty() {
            return Err(match self.peek() {
                None => SyntaxError::Incomplete("a command"),
                Some(_) => self.unexpected(),
            });
        }
        Ok(list)
    }

    fn and_or(&mut self) -> Result<AndOr, SyntaxError> {
        let first = self.pipeline()?;
        let mut rest = Vec::new();
        loop {
            self.blanks();
            let join = if self.take("&&") {
                Join::And
            } else if self.take("||") {
                Join::Or
            } else {
                return Ok(AndOr { first, rest });
            };
            self.blanks_and_lines();
            rest.push((join, self.pipeline()?));
        }
    }

    fn pipeline(&mut self) -> Result<Pipeline, SyntaxError> {
        let mut negated = false;
        while self.peek() == Some('!') && self.peek_at(1).is_none_or(ends_word) {
            self.at += 1;
            negated = !negated;
            self.blanks();
        }
        let mut commands = vec![self.command()?];
        loop {
            self.blanks();
            if self.peek() != Some('|') || self.peek_at(1) == Some('|') {
                return Ok(Pipeline { negated, commands });
            }
            if self.peek_at(1) == Some('&') {
                return Err(SyntaxError::Unsupported("|& (write 2>&1 |)"));
            }
            self.at += 1;
            self.blanks_and_lines();
            commands.push(self.command()?);
        }
    }

    fn command(&mut self) -> Result<Command, SyntaxError> {
        let kind = match self.reserved() {
            Some("if") => self.deeper(Self::conditional)?,
            Some("while") => self.deeper(|parser| parser.repetition("while"))?,
            Some("until") => self.deeper(|parser| parser.repetition("until"))?,
            Some("for") => self.deeper(Self::enumeration)?,
            Some("{") => {
                self.at += 1;
                let list = self.body()?;
                self.expect_reserved("}")?;
                Kind::Group(list)
            }
            Some("case") => return Err(SyntaxError::Unsupported("case")),
            Some("function") => return Err(SyntaxError::Unsupported("a function")),
            Some(_) => return Err(self.unexpected()),
            None if self.peek() == Some('(') => {
                self.at += 1;
                let list = self.body()?;
                if !self.take(")") {
                    return Err(SyntaxError::Incomplete(")"));
                }
                Kind::Subshell(list)
            }
            None => return self.simple(),
        };
        let mut redirects = Vec::new();
        loop {
            self.blanks();
            match self.redirect()? {
                Some(redirect) => redirects.push(redirect),
                None => return Ok(Command { kind, redirects }),
            }
        }
    }

    fn conditional(&mut self) -> Result<Kind, SyntaxError> {
        let mut arms = Vec::new();
        let mut otherwise = None;
        self.expect_reserved("if")?;
        loop {
            let condition = self.body()?;
            self.expect_reserved("then")?;
            arms.push((condition, self.body()?));
            if self.take_reserved("elif") {
                continue;
            }
            if self.take_reserved("else") {
                otherwise = Some(self.body()?);
            }
            self.expect_reserved("fi")?;
            return Ok(Kind::If { arms, otherwise });
        }
    }

    fn repetition(&mut self, word: &'static str) -> Result<Kind, SyntaxError> {
        self.expect_reserved(word)?;
        let condition = self.body()?;
        Ok(Kind::While {
            until: word == "until",
            condition,
            body: self.looped()?,
        })
    }

    fn enumeration(&mut self) -> Result<Kind, SyntaxError> {
        self.expect_reserved("for")?;
        self.blanks();
        let name = self.name();
        if name.is_empty() {
            return Err(self.unexpected());
        }
        let mut words = Vec::new();
        if !self.take_reserved("in") {
            return Err(SyntaxError::Unsupported("for without in"));
        }
        loop {
            self.blanks();
            match self.word()? {
                Some(word) => words.push(word),
                None => break,
            }
        }
        self.take(";");
        Ok(Kind::For {
            name,
            words,
            body: self.looped()?,
        })
    }

    fn looped(&mut self) -> Result<List, SyntaxError> {
        self.expect_reserved("do")?;
        let body = self.body()?;
        self.expect_reserved("done")?;
        Ok(body)
    }

    fn simple(&mut self) -> Result<Command, SyntaxError> {
        let (mut assignments, mut words, mut redirects) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            self.blanks();
            if let Some(redirect) = self.redirect()? {
                redirects.push(redirect);
                continue;
            }
            if words.is_empty()
                && let Some(name) = self.assigned()
            {
                assignments.push((name, self.word()?.unwrap_or_default()));
                continue;
            }
            match self.word()? {
                Some(word) => words.push(word),
                None if self.peek() == Some('(') && !words.is_empty() => {
                    return Err(SyntaxError::Unsupported("a function"));
                }
                None if assignments.is_empty() && words.is_empty() && redirects.is_empty() => {
                    return Err(match self.peek() {
                        None => SyntaxError::Incomplete("a command"),
                        Some(_) => self.unexpected(),
                    });
                }
                None => {
                    let kind = Kind::Simple { assignments, words };
                    return Ok(Command { kind, redirects });
                }
            }
        }
    }

    /// Takes `NAME=` if that stands here.
    fn assigned(&mut self) -> Option<String> {
        let begin = self.at;
        let name = self.name();
        if !name.is_empty() && self.take("=") {
            return Some(name);
        }
        self.at = begin;
        None
    }

    /// Takes a variable's name; empty if there is none.
    pub(super) fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(c) = self.peek() {
            let fits =
                c == '_' || c.is_ascii_alphabetic() || (!name.is_empty() && c.is_ascii_digit());
            if !fits {
                break;
            }
            name.push(c);
            self.at += 1;
        }
        name
    }

    fn redirect(&mut self) -> Result<Option<Redirect>, SyntaxError> {
        let explicit = self.peek().filter(char::is_ascii_digit);
        let operator = self.peek_at(usize::from(explicit.is_some()));
        if !matches!(operator, Some('<' | '>')) {
            return match (self.peek(), self.peek_at(1)) {
                (Some('&'), Some('>')) => Err(SyntaxError::Unsupported("&> (write >file 2>&1)")),
                _ => Ok(None),
            };
        }
        let stream = match explicit {
            None => u8::from(operator == Some('>')),
            Some(digit @ '0'..='2') => digit as u8 - b'0',
            Some(_) => return Err(SyntaxError::Unsupported("a stream other than 0, 1 and 2")),
        };
        self.at += usize::from(explicit.is_some());
        if self.take("<<") {
            return Err(SyntaxError::Unsupported("<< (a here-document)"));
        }
        if self.take(">&") || self.take("<&") {
            return match self.peek() {
                Some(digit @ '0'..='2') => {
                    self.at += 1;
                    let target = Target::Duplicate(digit as u8 - b'0');
                    Ok(Some(Redirect { stream, target }))
                }
                _ => Err(SyntaxError::Unsupported("a stream other than 0, 1 and 2")),
            };
        }
        let of: fn(Word) -> Target = if self.take("<") {
            Target::Read
        } else if self.take(">>") {
            Target::Append
        } else {
            self.at += 1;
            self.take("|");
            Target::Write
        };
        self.blanks();
        let word = self
            .word()?
            .ok_or(SyntaxError::Incomplete("a file's name"))?;
        let target = of(word);
        Ok(Some(Redirect { stream, target }))
    }
}

/// Whether a character ends a word that is not quoted.
pub(super) fn ends_word(c: char) -> bool {
    matches!(
        c,
        ' ' | '\t' | '\r' | '\n' | ';' | '&' | '|' | '<' | '>' | '(' | ')'
    )
}

#[cfg(test)]
mod tests;
