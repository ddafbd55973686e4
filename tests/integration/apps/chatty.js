// Writes numbered lines (see numbered.py): CHATTY_COUNT of them (0: no end), one every CHATTY_MS ms, to both streams
// when CHATTY_BOTH is set. The writer is CHATTY_WRITER or the pid; stderr's is that with -err.
const { writeSync } = require('fs');
const writer = process.env.CHATTY_WRITER || String(process.pid);
const count = Number(process.env.CHATTY_COUNT || 0);
const pause = Number(process.env.CHATTY_MS || 10);
const pad = (value, width) => String(value).padStart(width, '0');
let number = 0;
function line(name, length) {
  return `${name}:${pad(number, 10)}:${pad(length, 5)}:${String.fromCharCode(97 + (number % 26)).repeat(length)};\n`;
}
const timer = setInterval(() => {
  writeSync(1, line(writer, 20));
  if (process.env.CHATTY_BOTH) writeSync(2, line(`${writer}-err`, 20));
  number += 1;
  if (number === count) clearInterval(timer);
}, pause);
