<?php
// PHP's own streams as a WebSocket client and as a publisher of raw JSON:
// php chat.php PORT. Prints "ok" or "not ok" for each case.

require __DIR__ . '/client.php';

$message = '{"type":"message","username":"PHP","message":"Grüße \u263a"}';
$system = '{"type": "system", "message": "deployed"}';

run('php', [
    'the answer has the key of RFC 6455 and the headers of the PHP server'
    => function () use ($port) {
        [, $lines] = shake('dGhlIHNhbXBsZSBub25jZQ==');
        same(1, preg_match('~^HTTP/1\.1 101 ~', $lines[0]));
        foreach ([
            'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=',
            'WebSocket-Origin: 127.0.0.1',
            "WebSocket-Location: ws://127.0.0.1:$port/websocket.php",
        ] as $line) {
            same(true, in_array($line, $lines, true));
        }
    },
    'a message comes back byte by byte' => function () use ($message) {
        $client = join_room();
        say($client, $message);
        same($message, hear($client));
    },
    'raw JSON after the handshake is a message' => function () use ($message) {
        $client = join_room();
        fwrite($client, "$message\n$message");
        say($client, '{"framed":1}');
        same($message, hear($client));
        same($message, hear($client));
        same('{"framed":1}', hear($client));
    },
    'a publisher needs no handshake and is not announced'
    => function () use ($system) {
        $client = join_room();
        $publisher = dial();
        fwrite($publisher, $system);
        fclose($publisher);
        say($client, '{"after":1}');
        // The two connections may be served in either order.
        $heard = [hear($client), hear($client)];
        sort($heard);
        same(['{"after":1}', $system], $heard);
    },
    'a publisher is told what was wrong, in a line' => function () {
        $publisher = dial();
        fwrite($publisher, '{"a":tru}');
        $notice = json_decode(read_line($publisher));
        same('error', $notice->type);
        same(0, strpos($notice->message, 'not relayed: '));
    },
    'a close frame is echoed and then the server closes' => function () {
        $client = join_room();
        say($client, pack('n', 1000) . 'bye', 8);
        same(pack('n', 1000) . 'bye', hear($client, 8));
        same('', stream_get_contents($client));
    },
]);
