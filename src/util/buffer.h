// Bytes in hand: some to be consumed, some to be written, what became of
// them, and buffers to be given back.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace wschat {

/// Bytes just received, which their reader consumes from the front and may
/// change (unmasking is done in place).
struct Bytes {
    char* data = nullptr;
    size_t size = 0;

    std::string_view view() const { return {data, size}; }

    /// Takes the first n bytes, or all if there are fewer.
    Bytes take(uint64_t n) {
        Bytes front{data, n < size ? static_cast<size_t>(n) : size};
        data += front.size;
        size -= front.size;
        return front;
    }
};

/// Bytes that lie in several places and are written in one call.
struct IoVec {
    static constexpr size_t kMax = 4;

    std::array<std::string_view, kMax> piece;
    size_t count = 0;
    size_t size = 0;  // bytes in all

    IoVec() = default;
    explicit IoVec(std::string_view only) { add(only); }

    /// REQUIRES: count < kMax.
    void add(std::string_view bytes) {
        if (bytes.empty()) return;
        piece[count++] = bytes;
        size += bytes.size();
    }
};

/// What became of a read or a write.
struct IoResult {
    enum class State {
        Done,     // `size` bytes, at least one
        Blocked,  // nothing now; poll() will tell
        Eof,      // read only: the peer sends no more
        Failed    // the connection is gone; see error
    };
    State state = State::Failed;
    size_t size = 0;
    std::string error{};
};

/// A string that is empty most of the time, and takes no more than a pointer
/// then.
class Buffer {
public:
    std::string_view view() const {
        return text_ ? std::string_view(*text_) : std::string_view();
    }
    size_t size() const { return text_ ? text_->size() : 0; }
    bool empty() const { return size() == 0; }

    /// To be changed.
    std::string& text() {
        if (!text_) text_ = std::make_unique<std::string>();
        return *text_;
    }
    void append(std::string_view bytes) {
        if (!bytes.empty()) text().append(bytes);
    }

    /// Empties it and gives all memory back.
    void release() { text_.reset(); }

private:
    std::unique_ptr<std::string> text_;
};

/// Empties a string and gives its memory back, which clear() does not, nor
/// does the assignment of an empty string.
inline void release(std::string& buffer) { std::string().swap(buffer); }

}  // namespace wschat
