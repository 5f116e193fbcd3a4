//! Where an HTTP/1.1 answer ends, told as cheaply as who measures must.

/// What is wrong with an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// Its status is not 200.
    Status(String),
    /// It says neither how long it is nor that it comes in chunks.
    NoLength,
}

/// The length of the answer at the beginning of `bytes`, once it is there as a whole.
///
/// # Errors
/// When it is none that is wanted.
pub(crate) fn complete(bytes: &[u8]) -> Result<Option<usize>, Wrong> {
    let Some(head) = find(bytes, b"\r\n\r\n") else {
        return Ok(None);
    };
    let (head, body) = (&bytes[..head + 2], head + 4);
    if !head.starts_with(b"HTTP/1.1 200") {
        let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
        return Err(Wrong::Status(String::from_utf8_lossy(line).into_owned()));
    }
    let length = if let Some(value) = header(head, b"content-length") {
        std::str::from_utf8(value)
            .ok()
            .and_then(|text| text.trim().parse().ok())
    } else if header(head, b"transfer-encoding").is_some() {
        return Ok(chunks(&bytes[body..]).map(|length| body + length));
    } else {
        None
    };
    let length: usize = length.ok_or(Wrong::NoLength)?;
    Ok((bytes.len() >= body + length).then_some(body + length))
}

/// The length of a body in chunks, without trailers; size lines are few and short here.
fn chunks(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let line = find(bytes.get(at..)?, b"\r\n")?;
        let text = std::str::from_utf8(&bytes[at..at + line]).ok()?;
        let size = usize::from_str_radix(text.split(';').next()?.trim(), 16).ok()?;
        at += line + 2 + size + 2;
        if at > bytes.len() {
            return None;
        }
        if size == 0 {
            return Some(at);
        }
    }
}

fn header<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    head.split(|byte| *byte == b'\n').find_map(|line| {
        let (before, value) = line.split_at_checked(name.len())?;
        let value = value.strip_prefix(b":")?;
        before.eq_ignore_ascii_case(name).then_some(value)
    })
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_where_it_says() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP";
        assert_eq!(complete(answer), Ok(Some(answer.len() - 4)));
        for cut in 0..answer.len() - 4 {
            assert_eq!(complete(&answer[..cut]), Ok(None), "{cut}");
        }
    }

    #[test]
    fn chunks_end_with_an_empty_one() {
        let answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nA;x\r\n0123456789\r\n0\r\n\r\n";
        assert_eq!(complete(answer), Ok(Some(answer.len())));
        for cut in 0..answer.len() {
            assert_eq!(complete(&answer[..cut]), Ok(None), "{cut}");
        }
    }

    #[test]
    fn what_is_not_200_is_wrong() {
        let answer = b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(
            complete(answer),
            Err(Wrong::Status("HTTP/1.1 503 Busy".into()))
        );
        assert_eq!(complete(b"HTTP/1.1 200 OK\r\n\r\n"), Err(Wrong::NoLength));
    }
}
