<?php
// Tests PHP's own streams as a WebSocket client and as a publisher of raw JSON:
// php streams.php PORT. Prints "ok" or "not ok" for each case.

require __DIR__ . '/websocket_client.php';

$message = '{"type":"message","username":"PHP","message":"Grüße \u263a"}';
$system = '{"type": "system", "message": "deployed"}';

run('php', [
    'the response has the key of RFC 6455 and the headers of the PHP server'
    => function () use ($port) {
        [, $lines] = handshake('dGhlIHNhbXBsZSBub25jZQ==');
        assert_same(1, preg_match('~^HTTP/1\.1 101 ~', $lines[0]));
        foreach ([
            'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=',
            'WebSocket-Origin: 127.0.0.1',
            "WebSocket-Location: ws://127.0.0.1:$port/websocket.php",
        ] as $line) {
            assert_same(true, in_array($line, $lines, true));
        }
    },
    'a message is relayed byte for byte' => function () use ($message) {
        $client = join_room();
        send($client, $message);
        assert_same($message, receive($client));
    },
    'raw JSON after the handshake is a message' => function () use ($message) {
        $client = join_room();
        fwrite($client, "$message\n$message");
        send($client, '{"framed":1}');
        assert_same($message, receive($client));
        assert_same($message, receive($client));
        assert_same('{"framed":1}', receive($client));
    },
    'a publisher needs no handshake and is not announced'
    => function () use ($system) {
        $client = join_room();
        $publisher = connect();
        fwrite($publisher, $system);
        fclose($publisher);
        send($client, '{"after":1}');
        // The daemon may serve the two connections in either order.
        $received = [receive($client), receive($client)];
        sort($received);
        assert_same(['{"after":1}', $system], $received);
    },
    'a publisher receives an error notice in one line' => function () {
        $publisher = connect();
        fwrite($publisher, '{"a":tru}');
        $notice = json_decode(read_line($publisher));
        assert_same('error', $notice->type);
        assert_same(0, strpos($notice->message, 'not relayed: '));
    },
    'a close frame is echoed and then the server closes' => function () {
        $client = join_room();
        send($client, pack('n', 1000) . 'bye', 8);
        assert_same(pack('n', 1000) . 'bye', receive($client, 8));
        assert_same('', stream_get_contents($client));
    },
]);
