//! Bytes to values, in either format: the one place where decoders are made.
//!
//! Values read through a type-erased deserializer, so that each type's reading code exists once and not once per format
//! and reader: without that, the decoders would be a third of the whole binary.

use serde::de::DeserializeOwned;

use crate::limits::NESTING_MAX;

/// Reads one value from the front of `bytes`, which then begin behind it.
pub fn read_msgpack<T: DeserializeOwned>(bytes: &mut &[u8]) -> Result<T, String> {
    let mut deserializer = rmp_serde::Deserializer::new(bytes);
    deserializer.set_max_depth(NESTING_MAX);
    read(&mut <dyn erased_serde::Deserializer>::erase(&mut deserializer))
}

/// Fails when bytes are left over.
pub fn from_msgpack<T: DeserializeOwned>(mut bytes: &[u8]) -> Result<T, String> {
    let value = read_msgpack(&mut bytes)?;
    if bytes.is_empty() { Ok(value) } else { Err("bytes follow the value".to_owned()) }
}

/// Fails when anything but white space is left over.
pub fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = read(&mut <dyn erased_serde::Deserializer>::erase(&mut deserializer))?;
    deserializer.end().map_err(|error| error.to_string())?;
    Ok(value)
}

fn read<T: DeserializeOwned>(deserializer: &mut dyn erased_serde::Deserializer<'_>) -> Result<T, String> {
    erased_serde::deserialize(deserializer).map_err(|error| error.to_string())
}
