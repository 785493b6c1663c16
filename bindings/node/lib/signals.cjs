"use strict";

/* The signals of callers, which end waits. */

const { setMaxListeners } = require("node:events");

/** Accepts a signal of another realm, such as a test environment's. */
const isSignal = (it) => typeof it?.throwIfAborted === "function";

/** Checks a signal that a caller gives. */
function heedSignal(signal) {
  if (signal !== undefined && !isSignal(signal)) {
    throw new TypeError("signal must be an AbortSignal");
  }
  if (signal instanceof EventTarget) {
    setMaxListeners(0, signal); // many waits may end by one signal, without a warning of a leak
  }
  return signal;
}

/** The signal in the options of a call that has no other option. Others are refused, as the call would ignore them. */
function signalIn(options, refusal) {
  const { signal, ...others } = options ?? {};
  if (isSignal(options) || Object.keys(others).length > 0) {
    throw new TypeError(refusal);
  }
  return heedSignal(signal);
}

/** Makes the library's error, which names the holder, the cause of an aborted signal's reason. */
function explain(reason, error) {
  if (reason instanceof Error && !("cause" in reason) && Object.isExtensible(reason)) {
    const cause = { value: error, configurable: true, enumerable: false, writable: true };
    Object.defineProperty(reason, "cause", cause);
  }
}

module.exports = { explain, heedSignal, isSignal, signalIn };
