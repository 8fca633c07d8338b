// Unpacks the Chromium of @sparticuz/chromium into TMPDIR, with the libraries and the font that a bare machine lacks,
// and says on standard output where it is: `node chromium.mjs`.

// By this the package decides whether its libraries are needed as well.
process.env.AWS_EXECUTION_ENV = "24.x";

const { default: chromium } = await import("@sparticuz/chromium");
chromium.setGraphicsMode = false;
console.log(await chromium.executablePath());
