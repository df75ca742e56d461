/** The libp2p peer id (12D3KooW…) of a node key; loaded when needed, since most commands don't. */
export async function peerIdOf(nodeKey: Uint8Array): Promise<string> {
  const [{ generateKeyPairFromSeed }, { peerIdFromPrivateKey }] = await Promise.all([
    import("@libp2p/crypto/keys"),
    import("@libp2p/peer-id"),
  ]);
  return peerIdFromPrivateKey(await generateKeyPairFromSeed("Ed25519", nodeKey)).toString();
}
