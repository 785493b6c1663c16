"use strict";

/*
 * What the library has to say comes into this thread's event loop through a queue of the library:
 * one for each JavaScript thread, made at its first use. Its descriptor wakes the loop, and `drain` takes
 * the events.
 *
 * It is one, however often this package is evaluated in the thread (a test runner that clears the cache of
 * require, contexts of vm): locks are bound to it, so that it lives as long as the thread does. The first
 * evaluation makes it, and the others find it at a built-in module, which all of them have in common.
 */

const { AsyncResource } = require("node:async_hooks");
const net = require("node:net");
const { isMainThread } = require("node:worker_threads");
const { address, c, must, slot } = require("./native.cjs");

/** Where this thread's queues are. The number changes with what stands there: it may be of another version. */
const PLACE = Symbol.for("consul-lock.queues.1");
/** Two files of the library that are loaded side by side know nothing of each other's queues. */
const LIBRARY = String(address.consul_lock_queue_done);

/** @type {Map<string, ReturnType<typeof make>>} */
const queues = /** @type {any} */ (net[PLACE] ??= new Map());

/** This thread's queue. */
const queue = () => queues.get(LIBRARY) ?? open();

/** Runs in the asynchronous context of the import: the socket would keep that of the first caller for ever. */
const open = AsyncResource.bind(() => {
  const made = make();
  queues.set(LIBRARY, made);
  if (!isMainThread) {
    process.once("exit", () => {
      queues.delete(LIBRARY);
      c.consul_lock_queue_free(made.pointer);
    });
  }
  return made;
});

function make() {
  const fd = new Int32Array(1);
  const pointer = c.consul_lock_queue_new(fd, slot);
  must(pointer !== null);
  const made = {
    pointer,
    /** While calls are pending they keep the process alive, as a pending read of a socket does. */
    pending: 0,
    lastTag: 0,
    /** Of the one who is given the lines of the log, 0: nobody. */
    logTag: 0,
    /** Who is told of an event, by the tag of its sender. */
    receivers: new Map(),
    socket: /** @type {net.Socket} */ (/** @type {unknown} */ (null)),
  };
  const onread = { buffer: Buffer.allocUnsafeSlow(64), callback: () => drain(made) };
  /** @type {any} (the types do not know that onread goes with fd) */
  const options = { fd: fd[0], readable: true, writable: false, onread };
  made.socket = new net.Socket(options).unref();
  return made;
}

/**
 * Takes all events. No receiver throws, not even where it runs code of users (Node makes an uncaught
 * exception of what a listener of a signal throws, later): the library wakes us again only when it has
 * seen an empty queue.
 */
function drain({ pointer, receivers }) {
  let event;
  while ((event = c.consul_lock_queue_next(pointer)) !== null) {
    receivers.get(c.consul_lock_event_tag(event))?.(event);
    c.consul_lock_event_free(event);
  }
  return true;
}

module.exports = { queue };
