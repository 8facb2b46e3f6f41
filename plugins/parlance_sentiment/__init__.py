"""Financial sentiment: label news as it arrives, follow its trend per company, and raise an alert when it turns bad."""
