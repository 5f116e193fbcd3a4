//! `test` and `[`: an expression over files, texts and numbers.

use std::fs::{self, Metadata};
use std::os::unix::fs::FileTypeExt;

use rustix::fs::{Access, AtFlags, CWD, accessat};

use super::{Answer, Context, Failure};
use crate::shell::Shell;

/// Deepest nesting of parentheses and `!`.
const DEEPEST: usize = 40;

pub(super) fn bracket(context: &mut Context<'_, '_>) -> Answer {
    match context.args.split_last() {
        Some((last, args)) if last == "]" => evaluate(context.shell, args),
        _ => Err(Failure::Usage("the closing ] is missing".to_owned())),
    }
}

pub(super) fn test(context: &mut Context<'_, '_>) -> Answer {
    evaluate(context.shell, context.args)
}

fn evaluate(shell: &Shell, args: &[String]) -> Answer {
    if args.is_empty() {
        return Ok(1);
    }
    let mut expression = Expression {
        shell,
        args,
        depth: 0,
    };
    let holds = expression.either()?;
    match expression.args.first() {
        None => Ok(i32::from(!holds)),
        Some(extra) => Err(Failure::Usage(format!("unexpected {extra}"))),
    }
}

struct Expression<'a> {
    shell: &'a Shell,
    args: &'a [String],
    depth: usize,
}

impl<'a> Expression<'a> {
    fn next(&mut self) -> Result<&'a str, Failure> {
        let (first, rest) = self
            .args
            .split_first()
            .ok_or_else(|| Failure::Usage("something is missing at the end".to_owned()))?;
        self.args = rest;
        Ok(first)
    }

    fn takes(&mut self, word: &str) -> bool {
        let there = self.args.first().is_some_and(|first| first == word);
        if there {
            self.args = &self.args[1..];
        }
        there
    }

    fn either(&mut self) -> Result<bool, Failure> {
        let mut holds = self.both()?;
        while self.takes("-o") {
            holds |= self.both()?;
        }
        Ok(holds)
    }

    fn both(&mut self) -> Result<bool, Failure> {
        let mut holds = self.one()?;
        while self.takes("-a") {
            holds &= self.one()?;
        }
        Ok(holds)
    }

    fn one(&mut self) -> Result<bool, Failure> {
        if self.depth == DEEPEST {
            return Err(Failure::Usage("nested too deep".to_owned()));
        }
        self.depth += 1;
        let holds = self.primary();
        self.depth -= 1;
        holds
    }

    fn primary(&mut self) -> Result<bool, Failure> {
        // A word between two others is an operator, whatever the first one looks like: [ "$x" = y ] with x='!'.
        if let [left, operator, right, ..] = self.args
            && let Some(holds) = self.binary(left, operator, right)?
        {
            self.args = &self.args[3..];
            return Ok(holds);
        }
        let first = self.next()?;
        match first {
            "!" if !self.args.is_empty() => return Ok(!self.one()?),
            "(" if !self.args.is_empty() => {
                let holds = self.either()?;
                return match self.takes(")") {
                    true => Ok(holds),
                    false => Err(Failure::Usage("the closing ) is missing".to_owned())),
                };
            }
            _ => {}
        }
        match first.strip_prefix('-') {
            Some(letter) if letter.chars().count() == 1 && !self.args.is_empty() => {
                let subject = self.next()?;
                self.unary(letter, subject)
            }
            _ => Ok(!first.is_empty()),
        }
    }

    fn binary(&self, left: &str, operator: &str, right: &str) -> Result<Option<bool>, Failure> {
        let number = |text: &str| {
            text.trim()
                .parse::<i64>()
                .map_err(|_| Failure::Usage(format!("{operator}: expected a number, found {text}")))
        };
        let modified = |name: &str| {
            fs::metadata(self.shell.path(name))
                .and_then(|m| m.modified())
                .ok()
        };
        Ok(Some(match operator {
            "=" | "==" => left == right,
            "!=" => left != right,
            "-eq" => number(left)? == number(right)?,
            "-ne" => number(left)? != number(right)?,
            "-lt" => number(left)? < number(right)?,
            "-le" => number(left)? <= number(right)?,
            "-gt" => number(left)? > number(right)?,
            "-ge" => number(left)? >= number(right)?,
            "-nt" => modified(left) > modified(right),
            "-ot" => modified(left) < modified(right),
            _ => return Ok(None),
        }))
    }

    fn unary(&self, letter: &str, subject: &str) -> Result<bool, Failure> {
        let path = self.shell.path(subject);
        let is =
            |fits: fn(&Metadata) -> bool| fs::metadata(&path).is_ok_and(|metadata| fits(&metadata));
        let may = |access: Access| accessat(CWD, &path, access, AtFlags::EACCESS).is_ok();
        Ok(match letter {
            "e" => path.exists(),
            "f" => is(Metadata::is_file),
            "d" => is(Metadata::is_dir),
            "s" => is(|metadata| metadata.len() > 0),
            "p" => is(|metadata| metadata.file_type().is_fifo()),
            "S" => is(|metadata| metadata.file_type().is_socket()),
            "b" => is(|metadata| metadata.file_type().is_block_device()),
            "c" => is(|metadata| metadata.file_type().is_char_device()),
            "L" | "h" => fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_symlink()),
            "r" => may(Access::READ_OK),
            "w" => may(Access::WRITE_OK),
            "x" => may(Access::EXEC_OK),
            "z" => subject.is_empty(),
            "n" => !subject.is_empty(),
            "t" => self.shell.terminal,
            other => return Err(Failure::Usage(format!("unknown test -{other}"))),
        })
    }
}
