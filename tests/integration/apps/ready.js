// Tells `ready` after READY_MS (never: -1), echoes messages, and ends itself on the message `shutdown`.
const after = Number(process.env.READY_MS || 0);
console.log(`started, ipc ${process.connected === true}`);
if (after >= 0) setTimeout(() => process.send && process.send('ready'), after);
process.on('message', (message) => {
  console.log(`message ${JSON.stringify(message)}`);
  if (message === 'shutdown') process.exit(0);
});
setInterval(() => {}, 1 << 30);
