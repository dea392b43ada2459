<?php
// contrib/publish.php as sites use it: php publish.php PORT SOCKET KEY, of a
// daemon with rooms whose messages have 64 KiB at the most.

require __DIR__ . '/client.php';
require 'contrib/publish.php';

$key = $argv[3];
$tcp = "tcp://127.0.0.1:$port";
$patient = ['address' => $tcp, 'key' => $key, 'timeout' => 30.0];

/** What is wrong with publishing this, in the words of the exception. */
function failure(array $arguments, string $type = 'RuntimeException'): string
{
    try {
        wschat_publish(...$arguments);
    } catch (Exception $error) {
        same($type, get_class($error));
        return $error->getMessage();
    }
    throw new Exception('nothing was thrown');
}

function matches(string $pattern, string $text): void
{
    if (!preg_match($pattern, $text)) {
        throw new Exception("$text does not match $pattern");
    }
}

/** A listener, and its address. Nobody ever accepts what it gets. */
function listener(): array
{
    $server = stream_socket_server('tcp://127.0.0.1:0');
    return [$server, 'tcp://' . stream_socket_get_name($server, false)];
}

run('publish.php', [
    'over TCP and a unix socket it comes to the room that is named'
    => function () use ($argv, $patient, $tcp) {
        $client = join_room('/k%C3%B6ln/50%25');
        foreach ([$tcp, "unix://$argv[2]"] as $i => $address) {
            $receipt = wschat_publish(['n' => $i], '/köln/50%',
                ['address' => $address] + $patient);
            same("{\"n\":$i}", hear($client));
            // Number 1 was that somebody connected.
            same(['room' => '/köln/50%', 'clients' => 1, 'number' => $i + 2],
                $receipt);
        }
    },
    'address and key may be in the environment'
    => function () use ($key, $tcp) {
        putenv("WSCHAT_ADDRESS=$tcp");
        putenv("WSCHAT_KEY=$key");
        try {
            same('/', wschat_publish('a text')['room']);
        } finally {
            putenv('WSCHAT_ADDRESS');
            putenv('WSCHAT_KEY');
        }
    },
    'whoever has the key may speak as the system'
    => function () use ($patient) {
        $client = join_room('/system');
        $message = ['type' => 'system', 'message' => 'Back at noon'];
        wschat_publish($message, '/system', $patient);
        same(json_encode($message), hear($client));
    },
    'a wrong key, or none, is refused' => function () use ($key, $patient) {
        foreach (["{$key}x", ''] as $wrong) {
            $told = failure([[1], '/', ['key' => $wrong] + $patient]);
            matches('~: 401 invalid publish key~', $told);
            same(false, $wrong !== '' && strpos($told, $wrong));
        }
        $told = failure([[1], '/', ['key' => "$key\r\nX: y"] + $patient]);
        matches('~the key has bytes that no key has~', $told);
    },
    'what is not relayed is refused with the reason'
    => function () use ($patient) {
        $client = join_room('/refused');
        foreach ([
            '~: 400 not relayed: the type "error" is reserved~'
            => [['type' => 'error'], '/refused', $patient],
            '~: 400 not relayed: ~' => [false, '/refused', $patient],
            '~: 400 ~' => [[1], '/a//b', $patient],
            '~: 413 ~' => [str_repeat('x', 65535), '/refused', $patient],
            // More than goes into any socket at once.
            '~: 413 .~' => [str_repeat('x', 1 << 24), '/refused', $patient],
        ] as $pattern => $arguments) {
            matches($pattern, failure($arguments));
        }
        wschat_publish([65534], '/refused', $patient);
        same('[65534]', hear($client));
    },
    'as much as may be said arrives' => function () use ($patient) {
        $client = join_room('/large');
        $text = str_repeat('x', 65534);
        wschat_publish($text, '/large', $patient);
        same(json_encode($text), hear($client));
    },
    'what is no JSON throws before anything is sent'
    => function () use ($patient) {
        matches('~UTF-8~', failure(["\xff", '/', $patient],
            'JsonException'));
    },
    'where nobody listens it says so' => function () use ($key) {
        [$server, $address] = listener();
        fclose($server);
        matches("~^wschat at $address: .*refused~i",
            failure([[1], '/', ['address' => $address, 'key' => $key]]));
    },
    'a server that never answers is not waited for'
    => function () use ($key) {
        [$server, $address] = listener();
        foreach ([1, str_repeat('x', 1 << 24)] as $message) {
            matches("~^wschat at $address: no answer in time~",
                failure([$message, '/', ['address' => $address,
                    'key' => $key, 'timeout' => 0.1]]));
        }
    },
]);
