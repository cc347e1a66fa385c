/** As much msgpack as frames need. Written from the format's specification, not with the code under test. */

/** @param {unknown} value @returns {Uint8Array<ArrayBuffer>} */
export function encode(value) {
  return Uint8Array.from(Buffer.concat(parts(value)));
}

/** @param {unknown} value @returns {Uint8Array[]} */
function parts(value) {
  if (value === null || value === undefined) return [Buffer.from([0xc0])];
  if (typeof value === 'boolean') return [Buffer.from([value ? 0xc3 : 0xc2])];
  if (typeof value === 'number') return [number(value)];
  if (typeof value === 'string') return [head(0xdb, Buffer.byteLength(value)), Buffer.from(value)];
  if (value instanceof Uint8Array) return [head(0xc6, value.length), value];
  if (Array.isArray(value)) return [head(0xdd, value.length), ...value.flatMap(parts)];
  const entries = Object.entries(value);
  return [head(0xdf, entries.length), ...entries.flatMap(([key, item]) => [...parts(key), ...parts(item)])];
}

/** @param {number} value */
function number(value) {
  const bytes = Buffer.alloc(9);
  if (Number.isSafeInteger(value) && value >= 0) {
    bytes[0] = 0xcf;
    bytes.writeBigUInt64BE(BigInt(value), 1);
  } else {
    bytes[0] = 0xcb;
    bytes.writeDoubleBE(value, 1);
  }
  return bytes;
}

/** A type with a length of 32 bits. @param {number} type @param {number} length */
function head(type, length) {
  const bytes = Buffer.alloc(5);
  bytes[0] = type;
  bytes.writeUInt32BE(length, 1);
  return bytes;
}

/** @param {Uint8Array} bytes @returns {any} */
export function decode(bytes) {
  const reader = new Reader(Buffer.from(bytes));
  const value = reader.value();
  if (reader.at !== bytes.length) throw new Error(`${bytes.length - reader.at} bytes follow the value`);
  return value;
}

class Reader {
  at = 0;

  /** @param {Buffer} bytes */
  constructor(bytes) {
    this.bytes = bytes;
  }

  /** @returns {any} */
  value() {
    const type = this.unsigned(1);
    if (type < 0x80) return type;
    if (type < 0x90) return this.map(type & 0x0f);
    if (type < 0xa0) return this.list(type & 0x0f);
    if (type < 0xc0) return this.text(type & 0x1f);
    if (type >= 0xe0) return type - 0x100;
    switch (type) {
      case 0xc0: return null;
      case 0xc2: return false;
      case 0xc3: return true;
      case 0xc4: case 0xc5: case 0xc6: return Buffer.from(this.take(this.unsigned(1 << (type - 0xc4))));
      case 0xca: return this.take(4).readFloatBE();
      case 0xcb: return this.take(8).readDoubleBE();
      case 0xcc: case 0xcd: case 0xce: case 0xcf: return this.unsigned(1 << (type - 0xcc));
      case 0xd0: case 0xd1: case 0xd2: case 0xd3: return this.signed(1 << (type - 0xd0));
      case 0xd9: case 0xda: case 0xdb: return this.text(this.unsigned(1 << (type - 0xd9)));
      case 0xdc: case 0xdd: return this.list(this.unsigned(2 << (type - 0xdc)));
      case 0xde: case 0xdf: return this.map(this.unsigned(2 << (type - 0xde)));
      default: throw new Error(`type ${type} at ${this.at - 1}`);
    }
  }

  /** @param {number} length */
  take(length) {
    if (this.at + length > this.bytes.length) throw new Error('the value is cut short');
    return this.bytes.subarray(this.at, this.at += length);
  }

  /** @param {number} length */
  unsigned(length) {
    return length === 8 ? Number(this.take(8).readBigUInt64BE()) : this.take(length).readUIntBE(0, length);
  }

  /** @param {number} length */
  signed(length) {
    return length === 8 ? Number(this.take(8).readBigInt64BE()) : this.take(length).readIntBE(0, length);
  }

  /** @param {number} length */
  text(length) {
    return this.take(length).toString();
  }

  /** @param {number} length */
  list(length) {
    return Array.from({ length }, () => this.value());
  }

  /** @param {number} length */
  map(length) {
    return Object.fromEntries(Array.from({ length }, () => [this.value(), this.value()]));
  }
}
