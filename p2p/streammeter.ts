import type { Metrics, Stream, StreamMessageEvent } from "@libp2p/interface";
import type { Traffic } from "./types.ts";

/**
 * Counts the bytes of gossip's streams, which gossipsub does not show. libp2p calls `trackProtocolStream` once for each stream;
 * the rest of its metrics is left out. (Stream middleware would be the plain way, but libp2p 3.3.11 appends each inbound stream's
 * handler to the shared list, so that the second stream is handled twice.)
 */
export function streamMeter(counts: (protocol: string) => boolean, meter: Traffic): Metrics {
  const nothing = () => {};
  const gauge = { update: nothing, increment: nothing, decrement: nothing, reset: nothing, timer: () => nothing };
  const observer = { observe: nothing, reset: nothing, timer: () => nothing };
  const register = (() => gauge) as Metrics["registerMetric"] & Metrics["registerCounter"];
  const registerGroup = (() => gauge) as unknown as Metrics["registerMetricGroup"] & Metrics["registerCounterGroup"];
  const observe = (() => observer) as unknown as Metrics["registerHistogram"] & Metrics["registerSummary"];
  const observeGroup = (() => observer) as unknown as Metrics["registerHistogramGroup"] &
    Metrics["registerSummaryGroup"];
  return {
    trackMultiaddrConnection: nothing,
    trackProtocolStream(stream: Stream) {
      if (!counts(stream.protocol)) return;
      const send = stream.send.bind(stream);
      stream.send = (data) => {
        meter.out += data.byteLength;
        return send(data);
      };
      const dispatch = stream.dispatchEvent.bind(stream);
      stream.dispatchEvent = (event: Event) => {
        if (event.type === "message") meter.in += (event as StreamMessageEvent).data.byteLength;
        return dispatch(event);
      };
    },
    registerMetric: register,
    registerCounter: register,
    registerMetricGroup: registerGroup,
    registerCounterGroup: registerGroup,
    registerHistogram: observe,
    registerSummary: observe,
    registerHistogramGroup: observeGroup,
    registerSummaryGroup: observeGroup,
    traceFunction: ((_name: string, fn: unknown) => fn) as Metrics["traceFunction"],
    createTrace: () => undefined,
  };
}
