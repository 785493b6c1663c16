"use strict";

/*
 * The queue through which the library's events come into the event loop. Each JavaScript thread has one, from its
 * first use on. The queue's descriptor wakes the loop, and `drain` takes the events.
 *
 * A thread has one queue, however often the thread evaluates this package (a test runner that clears the cache of
 * require, contexts of vm). Locks are bound to the queue, so the queue lives as long as the thread. The first
 * evaluation makes the queue, and the others find it at a built-in module, which all evaluations share.
 */

const { AsyncResource } = require("node:async_hooks");
const net = require("node:net");
const { isMainThread } = require("node:worker_threads");
const { address, c, must, slot } = require("./native.cjs");

/** The place of this thread's queues. The number changes with their form, as another version may have made them. */
const PLACE = Symbol.for("consul-lock.queues.1");
/** The key of a library's queue: two loaded copies of the library cannot use each other's queues. */
const LIBRARY = String(address.consul_lock_queue_done);

/** @type {Map<string, ReturnType<typeof make>>} */
const queues = /** @type {any} */ (net[PLACE] ??= new Map());

/** The queue of this thread. */
const queue = () => queues.get(LIBRARY) ?? open();

/** Runs in the asynchronous context of the import, because the socket keeps the context in which it is made. */
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
    /** The number of pending calls. They keep the process alive, as a pending read of a socket does. */
    pending: 0,
    lastTag: 0,
    /** The tag of the lines of the log. 0: this thread does not receive the log. */
    logTag: 0,
    /** The receivers of events, by the tag of the sender. */
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
 * Takes all events, because the library wakes the loop again only after the queue was empty. No receiver throws, also
 * where it runs code of users: Node turns the exception of a signal's listener into an uncaught exception, later.
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
