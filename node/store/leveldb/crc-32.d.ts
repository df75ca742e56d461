declare module "crc-32/crc32c.js" {
  /** CRC-32C of RFC 3720, as a signed number. */
  const crc32c: { buf(bytes: Uint8Array): number };
  export default crc32c;
}
