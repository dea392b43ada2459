// A broadcast server on ws (npm), as its documentation shows it: sends each
// message to all clients.
'use strict';
const { WebSocket, WebSocketServer } = require('ws');

const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
server.on('connection', (client) => {
  client.on('message', (data, isBinary) => {
    for (const other of server.clients)
      if (other.readyState === WebSocket.OPEN)
        other.send(data, { binary: isBinary });
  });
  client.on('error', () => {});
});
server.on('listening', () => {
  console.error(`listening on 127.0.0.1:${server.address().port}`);
});
