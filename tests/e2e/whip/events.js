// Of Node's module of this name, what a client in a browser uses.
export class EventEmitter {
  emit() {}
  on() {}
}
