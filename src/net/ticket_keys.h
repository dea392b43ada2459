// The keys that encrypt the session tickets of TLS. A ticket holds the secrets
// of its session, so whoever learns its key can read recorded sessions of TLS
// 1.2. OpenSSL itself would use one key as long as the daemon runs. No clock,
// and no TLS: only ciphers.
#pragma once

#include <array>
#include <chrono>

#include <openssl/evp.h>

#include "util/clock.h"

namespace wschat {

/// The key for new tickets, and the one before it, whose tickets are accepted
/// too.
class TicketKeys {
public:
    /// How long a key encrypts tickets, and then how long it decrypts them.
    static constexpr std::chrono::hours kPeriod{24};

    /// Throws std::runtime_error if there are no random bytes.
    TicketKeys() { replace(); }

    /// Changes the key if a period has passed. The first call does so too, for
    /// the clock begins with it.
    void begin_turn(Time now);

    /// When begin_turn() changes the key next.
    Time next_change() const { return next_change_; }

    /// Replaces both keys: no earlier ticket is accepted.
    void replace();

    /// Prepares to encrypt a ticket, for which it chooses the name of the key
    /// and `iv`, or to decrypt one by these. Returns what OpenSSL expects of
    /// the callback of SSL_CTX_set_tlsext_ticket_key_evp_cb(3): 1; 2 if the
    /// client should get a new ticket; 0 if the key is unknown; -1 on failure.
    int prepare(unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
                EVP_MAC_CTX* mac, bool encrypt) const;

private:
    struct Key {
        std::array<unsigned char, 16> name;
        std::array<unsigned char, 32> cipher;
        std::array<unsigned char, 32> mac;
    };

    static Key make_key();
    void change();
    const Key* find(const unsigned char* name) const;

    Key current_{};
    Key previous_{};
    Time next_change_{};
};

}  // namespace wschat
