<?php
// Tests contrib/publish.php: php publish.php PORT SOCKET KEY. The daemon must
// have rooms and a message limit of 64 KiB.

require __DIR__ . '/websocket_client.php';
require 'contrib/publish.php';

$key = $argv[3];
$tcp = "tcp://127.0.0.1:$port";
$options = ['address' => $tcp, 'key' => $key, 'timeout' => 30.0];

/** Publishes what must fail, and returns the message of the exception. */
function publish_error(
    array $arguments,
    string $type = 'RuntimeException'
): string {
    try {
        wschat_publish(...$arguments);
    } catch (Exception $error) {
        assert_same($type, get_class($error));
        return $error->getMessage();
    }
    throw new Exception('nothing was thrown');
}

function assert_matches(string $pattern, string $text): void
{
    if (!preg_match($pattern, $text)) {
        throw new Exception("$text does not match $pattern");
    }
}

/** Returns a listening socket that accepts no connection, and its address. */
function listen(): array
{
    $server = stream_socket_server('tcp://127.0.0.1:0');
    return [$server, 'tcp://' . stream_socket_get_name($server, false)];
}

run('publish.php', [
    'a message arrives in the named room, over TCP and over a unix socket'
    => function () use ($argv, $options, $tcp) {
        $client = join_room('/k%C3%B6ln/50%25');
        foreach ([$tcp, "unix://$argv[2]"] as $i => $address) {
            $receipt = wschat_publish(['n' => $i], '/köln/50%',
                ['address' => $address] + $options);
            assert_same("{\"n\":$i}", receive($client));
            // Number 1 was the system message that the client connected.
            assert_same(['room' => '/köln/50%', 'clients' => 1,
                'number' => $i + 2], $receipt);
        }
    },
    'address and key may be in the environment'
    => function () use ($key, $tcp) {
        putenv("WSCHAT_ADDRESS=$tcp");
        putenv("WSCHAT_KEY=$key");
        try {
            assert_same('/', wschat_publish('a text')['room']);
        } finally {
            putenv('WSCHAT_ADDRESS');
            putenv('WSCHAT_KEY');
        }
    },
    'a publisher with the key may send system messages'
    => function () use ($options) {
        $client = join_room('/system');
        $message = ['type' => 'system', 'message' => 'Back at noon'];
        wschat_publish($message, '/system', $options);
        assert_same(json_encode($message), receive($client));
    },
    'a wrong key, or none, is refused' => function () use ($key, $options) {
        $error = publish_error([[1], '/', ['key' => "{$key}x"] + $options]);
        assert_matches('~: 401 invalid publish key~', $error);
        assert_same(false, strpos($error, $key));
        $error = publish_error([[1], '/', ['key' => ''] + $options]);
        assert_matches('~: 401 publish key is missing~', $error);
        $error = publish_error([[1], '/',
            ['key' => "$key\r\nX: y"] + $options]);
        assert_matches('~the key has bytes that no key has~', $error);
    },
    'an invalid message is refused with the reason'
    => function () use ($options) {
        $client = join_room('/refused');
        foreach ([
            '~: 400 not relayed: the type "error" is reserved~'
            => [['type' => 'error'], '/refused', $options],
            '~: 400 not relayed: ~' => [false, '/refused', $options],
            '~: 400 ~' => [[1], '/a//b', $options],
            '~: 413 ~' => [str_repeat('x', 65535), '/refused', $options],
            // More than the buffer of any socket holds.
            '~: 413 .~' => [str_repeat('x', 1 << 24), '/refused', $options],
        ] as $pattern => $arguments) {
            assert_matches($pattern, publish_error($arguments));
        }
        wschat_publish([65534], '/refused', $options);
        assert_same('[65534]', receive($client));
    },
    'a message of the largest size arrives' => function () use ($options) {
        $client = join_room('/large');
        $text = str_repeat('x', 65534);
        wschat_publish($text, '/large', $options);
        assert_same(json_encode($text), receive($client));
    },
    'a value that can not be JSON throws before anything is sent'
    => function () use ($options) {
        assert_matches('~UTF-8~', publish_error(["\xff", '/', $options],
            'JsonException'));
    },
    'a refused connection is reported' => function () use ($key) {
        [$server, $address] = listen();
        fclose($server);
        assert_matches("~^wschat at $address: .*refused~i",
            publish_error([[1], '/', ['address' => $address, 'key' => $key]]));
    },
    'a server that does not answer causes a timeout'
    => function () use ($key) {
        [$server, $address] = listen();
        foreach ([1, str_repeat('x', 1 << 24)] as $message) {
            assert_matches("~^wschat at $address: no answer in time~",
                publish_error([$message, '/', ['address' => $address,
                    'key' => $key, 'timeout' => 0.1]]));
        }
    },
]);
