/*
 * Search in a site that is read from the disk: browsers start no workers from file: addresses, so the
 * worker's script runs in a hidden frame that is spoken to as a worker is.
 */
"use strict";

class FrameWorker extends EventTarget {
  constructor(address) {
    super();
    const frame = document.createElement("iframe");
    frame.hidden = true;
    frame.srcdoc = "<!doctype html><title>search</title>";
    this.started = new Promise((started, failed) => {
      frame.addEventListener("load", () => {
        const inside = frame.contentWindow;
        inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
        const script = inside.document.createElement("script");
        script.src = address;
        script.onload = () => started(inside);
        script.onerror = () => failed(new Error(`${address} was not loaded`));
        inside.document.head.append(script);
      });
    });
    this.started.catch((error) => this.dispatchEvent(new ErrorEvent("error", { error })));
    document.body.append(frame);
  }

  async postMessage(data) {
    const inside = await this.started;
    inside.dispatchEvent(new MessageEvent("message", { data: structuredClone(data) }));
  }
}

if (location.protocol === "file:") {
  window.Worker = FrameWorker;
}
