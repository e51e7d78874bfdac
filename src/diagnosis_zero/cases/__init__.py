"""Cases: sources that read or make patients, and the pipeline that turns any source into a data folder."""
