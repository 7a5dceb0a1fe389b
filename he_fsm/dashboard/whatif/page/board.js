// The scenario file that is edited, what waits to be written into it, and the way back.

// A question that is older may be replaced by a newer one before its answer has come (ms).
const REPLACED_AFTER_MS = 400;
// Changes of one control within this time are one step back (ms).
const ONE_STEP_MS = 1500;
const STEPS_BACK_MAX = 200;

function same(path, other) {
  return path.length === other.length && path.every((step, index) => step === other[index]);
}

export class Board {
  // `post(question, signal)`: resolves to the answer; `shown(answer)` and `failed(error)` are called
  // with the latest one.
  constructor(post, shown, failed) {
    this.post = post;
    this.shown = shown;
    this.failed = failed;
    this.text = "";
    this.file = "what-if.yaml";
    this.scenario = 0;
    this.runs = 1;
    this.show = null;
    this.edits = [];
    this.past = [];
    this.future = [];
    this.lastGroup = null;
    this.lastAt = 0;
    this.sent = null;
    this.waits = false;
  }

  // Begin with another file.
  open(text, file) {
    this.remember("open");
    this.text = text;
    this.file = file;
    this.scenario = 0;
    this.edits = [];
    this.show = null;
    this.send();
  }

  // Take what somebody typed as the whole file.
  type(text) {
    this.remember("typed");
    this.text = text;
    this.edits = [];
    this.send();
  }

  // Change the file by edits; those of one `group` in a row are one step back.
  change(edits, group = null) {
    this.remember(group);
    for (const edit of edits) {
      const asked = this.sent === null ? 0 : this.sent.asked;
      const waiting = this.edits.slice(asked).findIndex((each) => same(each.path, edit.path));
      const plain = this.edits.slice(asked).every((each) => each.do === "set");
      if (edit.do === "set" && plain && waiting >= 0) {
        this.edits[asked + waiting] = edit;
      } else {
        this.edits.push(edit);
      }
    }
    this.send();
  }

  // Ask again with other runs.
  ask(changes) {
    Object.assign(this, changes);
    this.send();
  }

  remember(group) {
    const now = Date.now();
    const goesOn = group !== null && group === this.lastGroup && now - this.lastAt < ONE_STEP_MS;
    this.lastGroup = group;
    this.lastAt = now;
    if (goesOn || !this.text) {
      return;
    }
    this.past.push([this.text, this.edits.slice(), this.file]);
    this.past.splice(0, this.past.length - STEPS_BACK_MAX);
    this.future = [];
  }

  back() {
    this.step(this.past, this.future);
  }

  forward() {
    this.step(this.future, this.past);
  }

  step(from, to) {
    if (!from.length) {
      return;
    }
    to.push([this.text, this.edits.slice(), this.file]);
    [this.text, this.edits, this.file] = from.pop();
    this.lastGroup = null;
    this.send();
  }

  question() {
    const question = {
      text: this.text,
      file: this.file,
      scenario: this.scenario,
      edits: this.edits.slice(),
      runs: this.runs,
    };
    if (this.show !== null) {
      question.show = this.show;
    }
    return question;
  }

  send() {
    if (this.sent !== null && Date.now() - this.sent.at < REPLACED_AFTER_MS) {
      // It is answered in a moment, and shows the way there.
      this.waits = true;
      setTimeout(() => this.waits && this.send(), REPLACED_AFTER_MS);
      return;
    }
    this.waits = false;
    if (this.sent !== null) {
      this.sent.control.abort();
    }
    const control = new AbortController();
    const question = this.question();
    const asked = question.edits.length;
    const sent = { at: Date.now(), control, asked };
    this.sent = sent;
    const base = this.text;
    this.post(question, control.signal).then(
      (answer) => this.take(sent, answer, asked, base),
      (error) => this.take(sent, { failed: error }, asked, base),
    );
  }

  take(sent, answer, asked, base) {
    if (this.sent !== sent) {
      return;
    }
    this.sent = null;
    if (this.text === base && typeof answer.text === "string") {
      this.text = answer.text;
      // What came after the question waits still.
      this.edits = this.edits.slice(asked);
    }
    if (answer.failed) {
      if (answer.failed.status === 400) {
        // What the server does not understand is not asked again.
        this.edits = this.edits.slice(asked);
      }
      this.failed(answer.failed);
    } else {
      this.shown(answer);
    }
    if (this.waits) {
      this.send();
    }
  }
}
