// Small types for bytes: a range of input, a list of ranges to send, the result
// of reading or sending, and a buffer that is usually empty.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace wschat {

/// Received bytes. Their reader removes them from the front, and may change
/// them: payloads are unmasked in place.
struct Bytes {
    char* data = nullptr;
    size_t size = 0;

    std::string_view view() const { return {data, size}; }

    /// Removes the first n bytes, or all if there are fewer, and returns them.
    Bytes take(uint64_t n) {
        Bytes front{data, n < size ? static_cast<size_t>(n) : size};
        data += front.size;
        size -= front.size;
        return front;
    }
};

/// Bytes in up to kMax places in memory, none of them empty, which one system
/// call sends. It does not own them.
struct IoVec {
    static constexpr size_t kMax = 4;

    std::array<std::string_view, kMax> piece;
    size_t count = 0;
    size_t size = 0;  // bytes in all pieces

    IoVec() = default;
    explicit IoVec(std::string_view only) { add(only); }

    /// Adds a piece unless it is empty. REQUIRES: count < kMax.
    void add(std::string_view bytes) {
        if (bytes.empty()) return;
        piece[count++] = bytes;
        size += bytes.size();
    }
};

/// The result of one system call that reads or sends, or of several calls
/// together that send what waits for one client. One call has moved at least
/// one byte if it is Done, and none if it is Blocked. For several calls the
/// state is that of the last one and `size` is the sum, so Done may come with 0
/// bytes (nothing waited) and Blocked with some.
struct IoResult {
    enum class State {
        Done,     // bytes were moved, or there was nothing to send
        Blocked,  // no more bytes can be moved before poll() reports it
        Eof,      // only of a read: the peer sends no more
        Failed    // the connection is lost, for the reason in `error`
    };
    State state = State::Failed;
    size_t size = 0;  // bytes moved
    std::string error{};
};

/// A string that is usually empty, and takes the size of a pointer then. Each
/// connection has some of these.
class Buffer {
public:
    std::string_view view() const {
        return text_ ? std::string_view(*text_) : std::string_view();
    }
    size_t size() const { return text_ ? text_->size() : 0; }
    bool empty() const { return size() == 0; }

    /// Returns how much memory the bytes take.
    size_t capacity() const { return text_ ? text_->capacity() : 0; }

    /// Returns the string itself, for changes; allocates it if necessary.
    std::string& text() {
        if (!text_) text_ = std::make_unique<std::string>();
        return *text_;
    }
    void append(std::string_view bytes) {
        if (!bytes.empty()) text().append(bytes);
    }

    /// Empties the buffer and frees its memory.
    void release() { text_.reset(); }

private:
    std::unique_ptr<std::string> text_;
};

/// Empties a string and frees its memory. Neither clear() nor the assignment of
/// an empty string does that.
inline void release(std::string& buffer) { std::string().swap(buffer); }

}  // namespace wschat
