//! The options of a command: single letters, together or apart, some with a value.

/// A command's options and what is left.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags<'a> {
    letters: Vec<(char, Option<&'a str>)>,
    /// The arguments that are no options.
    pub(crate) rest: Vec<&'a str>,
}

impl<'a> Flags<'a> {
    /// Reads `args`; `plain` are the letters without, `valued` those with a value. The options end at `--`, or at the
    /// first argument that is none.
    ///
    /// # Errors
    /// A sentence that names the option.
    pub(crate) fn parse(args: &'a [String], plain: &str, valued: &str) -> Result<Self, String> {
        let mut found = Self::default();
        let mut args = args.iter().map(String::as_str);
        while let Some(arg) = args.next() {
            let letters = match arg.strip_prefix('-') {
                Some("-") => break,
                Some(letters) if !letters.is_empty() => letters,
                _ => {
                    found.rest.push(arg);
                    break;
                }
            };
            for (at, letter) in letters.char_indices() {
                if valued.contains(letter) {
                    let inline = &letters[at + letter.len_utf8()..];
                    let value = Some(inline)
                        .filter(|text| !text.is_empty())
                        .or_else(|| args.next());
                    let value = value.ok_or_else(|| format!("-{letter}: a value is missing"))?;
                    found.letters.push((letter, Some(value)));
                    break;
                }
                if !plain.contains(letter) {
                    return Err(format!("unknown option -{letter} (known: {plain}{valued})"));
                }
                found.letters.push((letter, None));
            }
        }
        found.rest.extend(args);
        Ok(found)
    }

    /// Whether a letter was given.
    pub(crate) fn has(&self, letter: char) -> bool {
        self.letters.iter().any(|(l, _)| *l == letter)
    }

    /// The last value of a letter.
    pub(crate) fn value(&self, letter: char) -> Option<&'a str> {
        let mut values = self.letters.iter().rev().filter(|(l, _)| *l == letter);
        values.find_map(|(_, value)| *value)
    }

    /// The last value of a letter, as a number.
    ///
    /// # Errors
    /// A sentence that names the option and what was found.
    pub(crate) fn number(&self, letter: char) -> Result<Option<u64>, String> {
        let parse = |text: &str| {
            text.parse()
                .map_err(|_| format!("-{letter}: expected a number, found {text}"))
        };
        self.value(letter).map(parse).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn together_or_apart() {
        for text in ["-la -n 5 x -y", "-l -a -n5 x -y"] {
            let args = words(text);
            let flags = Flags::parse(&args, "la", "n").unwrap();
            assert!(flags.has('l') && flags.has('a'));
            assert_eq!(flags.number('n'), Ok(Some(5)));
            assert_eq!(flags.rest, ["x", "-y"]);
        }
    }

    #[test]
    fn what_is_unknown_or_lacks_its_value_is_named() {
        let error = |text: &str| Flags::parse(&words(text), "l", "n").unwrap_err();
        assert_eq!(error("-z"), "unknown option -z (known: ln)");
        assert_eq!(error("-n"), "-n: a value is missing");
        assert_eq!(
            Flags::parse(&words("-- -z"), "l", "n").unwrap().rest,
            ["-z"]
        );
    }
}
