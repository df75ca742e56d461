import type { MessageStream, StreamMuxer, StreamMuxerFactory } from "@libp2p/interface";

/**
 * A muxer that doesn't throw when its connection is over. Yamux (8.0.3) sends a new stream's opening frame in a bare microtask: if the
 * connection was aborted since, the exception is nobody's to catch and ends the process, and a peer can bring that about.
 * All streams of such a connection are closed with it, so a frame that is dropped here is missed by nobody.
 */
export function quietMuxer<Components>(
  create: (components: Components) => StreamMuxerFactory,
): (components: Components) => StreamMuxerFactory {
  return (components) => {
    const factory = create(components);
    const createStreamMuxer = factory.createStreamMuxer.bind(factory);
    factory.createStreamMuxer = (connection: MessageStream) => {
      // `send` belongs to every muxer of libp2p (@libp2p/utils), though their interface doesn't name it.
      const muxer = createStreamMuxer(connection) as StreamMuxer & { send(data: unknown): boolean };
      const send = muxer.send.bind(muxer);
      muxer.send = (data) => {
        try {
          return send(data);
        } catch (error) {
          if (connection.status === "open") throw error;
          return false;
        }
      };
      return muxer;
    };
    return factory;
  };
}
