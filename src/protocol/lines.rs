//! A dialect for tests: a line says one thing, in words.

use super::action;
use super::inbound::Inbound;
use super::outbound::Outbound;
use crate::error::{Code, ErrorInfo};

pub fn decode(bytes: &[u8]) -> Result<Inbound, ErrorInfo> {
    let line = String::from_utf8_lossy(bytes);
    match line.split_once(' ') {
        Some(("hear", channel)) => {
            Ok(Inbound::Attach { channel: channel.to_owned(), serial: None, flags: 0, params: Default::default() })
        }
        None if line == "bye" => Ok(Inbound::Close),
        _ => Err(Code::BadBody.because("say 'hear CHANNEL', or 'bye'")),
    }
}

pub fn encode(frame: &Outbound<'_>) -> String {
    let channel = frame.channel.unwrap_or_default();
    match frame.action {
        action::CONNECTED => "hello".to_owned(),
        action::ATTACHED => format!("you hear {channel}"),
        action::MESSAGE => {
            let said = frame.messages.iter().flatten().map(|message| message.data.text());
            format!("{channel}: {}", said.collect::<Vec<_>>().join(", "))
        }
        action::CLOSED => "bye".to_owned(),
        _ => frame.error.map_or_else(String::new, |error| format!("no: {}", error.message)),
    }
}
