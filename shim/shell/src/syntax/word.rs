//! Words: quotes, escapes, `$`.

use super::parser::{Parser, ends_word};
use super::{Default, Part, SyntaxError, Word};

impl Parser {
    /// Takes the word that stands here, if one does.
    pub(super) fn word(&mut self) -> Result<Option<Word>, SyntaxError> {
        let begin = self.at;
        let mut word = Word::default();
        while let Some(c) = self.peek().filter(|c| !ends_word(*c)) {
            self.piece(c, &mut word)?;
        }
        Ok((self.at > begin).then_some(word))
    }

    /// Takes one piece of a word outside double quotes.
    fn piece(&mut self, c: char, word: &mut Word) -> Result<(), SyntaxError> {
        self.at += 1;
        match c {
            '\'' => {
                let begin = self.at;
                while self.peek().is_some_and(|c| c != '\'') {
                    self.at += 1;
                }
                let text = self.characters[begin..self.at].iter().collect();
                self.closing("'")?;
                word.0.push(Part::Text { text, quoted: true });
            }
            '"' => self.quoted(word)?,
            '\\' => match self.peek() {
                Some('\n') => self.at += 1,
                Some(next) => {
                    self.at += 1;
                    word.push(next, true);
                }
                None => return Err(SyntaxError::Incomplete("a character after \\")),
            },
            '$' => self.dollar(word, false)?,
            '`' => return Err(SyntaxError::Unsupported("` (write $(…))")),
            other => word.push(other, false),
        }
        Ok(())
    }

    fn closing(&mut self, text: &'static str) -> Result<(), SyntaxError> {
        if self.take(text) {
            return Ok(());
        }
        Err(match self.peek() {
            None => SyntaxError::Incomplete(text),
            Some(_) => self.unexpected(),
        })
    }

    /// What stands between double quotes.
    fn quoted(&mut self, word: &mut Word) -> Result<(), SyntaxError> {
        // Even "" is a word.
        word.0.push(Part::Text {
            text: String::new(),
            quoted: true,
        });
        while let Some(c) = self.peek().filter(|c| *c != '"') {
            self.at += 1;
            match c {
                '\\' => match self.peek() {
                    Some('\n') => self.at += 1,
                    Some(next @ ('$' | '`' | '"' | '\\')) => {
                        self.at += 1;
                        word.push(next, true);
                    }
                    _ => word.push('\\', true),
                },
                '$' => self.dollar(word, true)?,
                '`' => return Err(SyntaxError::Unsupported("` (write $(…))")),
                other => word.push(other, true),
            }
        }
        self.closing("\"")
    }

    /// What follows a `$`.
    fn dollar(&mut self, word: &mut Word, quoted: bool) -> Result<(), SyntaxError> {
        let part = match self.peek() {
            Some('(') if self.peek_at(1) == Some('(') => {
                return Err(SyntaxError::Unsupported("arithmetic"));
            }
            Some('(') => {
                self.at += 1;
                let list = self.list()?;
                self.closing(")")?;
                Part::Output { list, quoted }
            }
            Some('{') => {
                self.at += 1;
                self.deeper(|parser| parser.braced(quoted))?
            }
            Some(c) if c == '_' || c.is_ascii_alphabetic() => Part::Variable {
                name: self.name(),
                default: None,
                quoted,
            },
            Some(c @ ('0'..='9' | '?' | '$' | '#' | '@' | '*')) => {
                self.at += 1;
                Part::Variable {
                    name: c.to_string(),
                    default: None,
                    quoted,
                }
            }
            _ => {
                word.push('$', quoted);
                return Ok(());
            }
        };
        word.0.push(part);
        Ok(())
    }

    /// What stands between `${` and `}`.
    fn braced(&mut self, quoted: bool) -> Result<Part, SyntaxError> {
        let mut name = self.name();
        if name.is_empty() {
            match self.peek() {
                Some(c @ ('0'..='9' | '?' | '$' | '@' | '*')) => {
                    self.at += 1;
                    name = c.to_string();
                }
                Some('#') => return Err(SyntaxError::Unsupported("${#…}")),
                None => return Err(SyntaxError::Incomplete("}")),
                Some(_) => return Err(self.unexpected()),
            }
        }
        if self.take("}") {
            let default = None;
            return Ok(Part::Variable {
                name,
                default,
                quoted,
            });
        }
        let empty_too = self.take(":");
        let if_set = match self.peek() {
            Some('-') => false,
            Some('+') => true,
            None => return Err(SyntaxError::Incomplete("}")),
            Some(_) => return Err(SyntaxError::Unsupported("this kind of ${…}")),
        };
        self.at += 1;
        let mut word = Word::default();
        loop {
            match self.peek() {
                None => return Err(SyntaxError::Incomplete("}")),
                Some('}') => break,
                // Blanks and the like are text here.
                Some(c) if ends_word(c) => {
                    self.at += 1;
                    word.push(c, quoted);
                }
                Some(c) => self.piece(c, &mut word)?,
            }
        }
        self.at += 1;
        Ok(Part::Variable {
            name,
            default: Some(Default {
                empty_too,
                if_set,
                word,
            }),
            quoted,
        })
    }
}

impl Word {
    /// Adds a character to the text at the end.
    fn push(&mut self, c: char, as_quoted: bool) {
        if let Some(Part::Text { text, quoted }) = self.0.last_mut()
            && *quoted == as_quoted
        {
            text.push(c);
            return;
        }
        self.0.push(Part::Text {
            text: c.to_string(),
            quoted: as_quoted,
        });
    }
}
