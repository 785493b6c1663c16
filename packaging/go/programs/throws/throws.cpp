#include <stdexcept>
#include <string>

// Tells whether an exception is thrown and caught with the unwinder that the program has.
extern "C" int caught(int depth)
{
    try {
        if (depth == 0) {
            throw std::runtime_error("thrown");
        }
        std::string kept = "destroyed on the way";
        if (caught(depth - 1) != 1) {
            return 0;
        }
        throw std::runtime_error(kept);
    } catch (const std::exception &) {
        return 1;
    }
}
