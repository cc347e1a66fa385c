//! As much of HTTP/1.1 as a client that polls needs: one request after another on one connection.

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Bytes of the longest answer that is read.
const BODY_MAX_BYTES: usize = 16 * 1024 * 1024;

pub struct Http {
    stream: BufReader<TcpStream>,
}

pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Answer {
    /// To be shown in an error.
    pub fn text(&self) -> String {
        let body: String = String::from_utf8_lossy(&self.body).chars().take(300).collect();
        format!("{}: {body}", self.status)
    }
}

impl Http {
    pub async fn open(address: (String, u16)) -> Result<Http, String> {
        let stream = TcpStream::connect(address).await.map_err(|error| format!("connect: {error}"))?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        Ok(Http { stream: BufReader::new(stream) })
    }

    pub async fn get(&mut self, path: &str) -> Result<Answer, String> {
        self.ask(format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")).await
    }

    pub async fn post(&mut self, path: &str, json: &str) -> Result<Answer, String> {
        let head = format!("POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n");
        self.ask(format!("{head}content-length: {}\r\n\r\n{json}", json.len())).await
    }

    async fn ask(&mut self, request: String) -> Result<Answer, String> {
        self.stream.write_all(request.as_bytes()).await.map_err(|error| error.to_string())?;
        let status = self.line().await?.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or("no status")?;
        let (mut length, mut chunked) = (0, false);
        loop {
            let line = self.line().await?.to_ascii_lowercase();
            match line.split_once(':') {
                Some(("content-length", value)) => length = value.trim().parse().map_err(|_| "no length")?,
                Some(("transfer-encoding", value)) => chunked = value.trim() == "chunked",
                Some(_) => {}
                None => break,
            }
        }
        let body = if chunked { self.chunks().await? } else { self.bytes(length).await? };
        Ok(Answer { status, body })
    }

    async fn chunks(&mut self) -> Result<Vec<u8>, String> {
        let mut body = Vec::new();
        loop {
            let line = self.line().await?;
            let length = usize::from_str_radix(&line, 16).map_err(|_| format!("no chunk: {line:?}"))?;
            let chunk = self.bytes(length).await?;
            self.line().await?;
            if chunk.is_empty() {
                return Ok(body);
            }
            body.extend(chunk);
            if body.len() > BODY_MAX_BYTES {
                return Err("the answer has no end".into());
            }
        }
    }

    async fn bytes(&mut self, length: usize) -> Result<Vec<u8>, String> {
        if length > BODY_MAX_BYTES {
            return Err("the answer is too long".into());
        }
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes).await.map_err(|error| error.to_string())?;
        Ok(bytes)
    }

    /// Without its end.
    async fn line(&mut self) -> Result<String, String> {
        let mut line = String::new();
        let read = self.stream.read_line(&mut line).await.map_err(|error| error.to_string())?;
        if read == 0 {
            return Err("the server closed the connection".into());
        }
        Ok(line.trim_end().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    /// What a client makes of answers that come on one connection, in pieces of any size.
    async fn read(answers: &'static str) -> Vec<(u16, String)> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            for byte in answers.bytes() {
                stream.write_all(&[byte]).await.unwrap();
            }
            stream
        };
        let ask = async {
            let mut http = Http::open(("127.0.0.1".into(), port)).await.unwrap();
            let mut got = Vec::new();
            for _ in 0..answers.matches("HTTP/1.1").count() {
                let answer = http.get("/").await.unwrap();
                got.push((answer.status, String::from_utf8(answer.body).unwrap()));
            }
            got
        };
        tokio::join!(serve, ask).1
    }

    #[tokio::test]
    async fn answers_follow_each_other_whatever_their_shape() {
        let answers = concat!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n[1,2]\r\n1\r\n\n\r\n0\r\n\r\n",
            "HTTP/1.1 204 No Content\r\n\r\n",
            "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 2\r\nX: y:z\r\n\r\n[]",
        );
        let expected = [(200, "[1,2]\n".into()), (204, String::new()), (429, "[]".into())];
        assert_eq!(read(answers).await, expected);
    }
}
